// What the official Node SDK makes of the gateway: one JSON line per case, `{"case": …, "saw": …}`.
//
// The SDK is used as its users do: base URL and key from the environment, nothing else changed.

import { createRequire } from "node:module";

const require = createRequire(`${process.env.TURNPIKE_TEST_NODE_MODULES}/`);
const OpenAI = require("openai");

const messages = [{ role: "user", content: "hello" }];
const tool = {
  type: "function",
  function: {
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const schema = {
  type: "object",
  properties: { answer: { type: "string" } },
  required: ["answer"],
  additionalProperties: false,
};
const pixel =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

let client = new OpenAI();

const say = (name, saw) => console.log(JSON.stringify({ case: name, saw }));

const ask = ({ simulator = { tokens: 4 }, ...more } = {}) =>
  client.chat.completions.create({
    model: "demo/chat",
    messages,
    x_simulator: simulator,
    ...more,
  });

async function chunksOf(stream) {
  const chunks = [];
  for await (const chunk of await stream) chunks.push(chunk);
  return chunks;
}

async function words(stream) {
  const chunks = await chunksOf(stream);
  return {
    text: chunks.map((c) => c.choices[0]?.delta?.content ?? "").join(""),
    usage: chunks.filter((c) => c.usage).map((c) => c.usage.completion_tokens),
  };
}

async function raised(call) {
  try {
    await call();
  } catch (error) {
    if (error.status === undefined) return { class: error.constructor.name, message: error.message };
    return { class: error.constructor.name, status: error.status, id: Boolean(error.requestID) };
  }
  return { class: null };
}

const answer = await ask();
say("chat", { text: answer.choices[0].message.content, output: answer.usage.completion_tokens });
say("stream", await words(ask({ stream: true })));
say("stream with usage", await words(ask({ stream: true, stream_options: { include_usage: true } })));

const required = { tools: [tool], tool_choice: "required", simulator: {} };
const call = (await ask(required)).choices[0].message.tool_calls[0].function;
say("tools", { name: call.name, arguments: Object.keys(JSON.parse(call.arguments)) });
const deltas = await chunksOf(ask({ ...required, stream: true }));
const calls = deltas.flatMap((c) => c.choices[0]?.delta?.tool_calls ?? []).map((c) => c.function);
const written = calls.map((c) => c.arguments ?? "").join("");
say("tools in a stream", { name: calls[0].name, arguments: Object.keys(JSON.parse(written)) });

const object = await ask({ response_format: { type: "json_object" }, simulator: {} });
say("json object", typeof JSON.parse(object.choices[0].message.content) === "object");
const form = { type: "json_schema", json_schema: { name: "a", strict: true, schema } };
const shaped = await ask({ response_format: form, simulator: {} });
say("json schema", Object.keys(JSON.parse(shaped.choices[0].message.content)));

const prefill = [...messages, { role: "assistant", content: "Once" }];
say("prefill", (await ask({ messages: prefill })).choices[0].message.content);
for (const [name, url] of [["by address", "https://example.com/a.png"], ["inline", pixel]]) {
  const content = [
    { type: "text", text: "what is this?" },
    { type: "image_url", image_url: { url, detail: "low" } },
  ];
  const seen = await ask({ model: "demo/vision", messages: [{ role: "user", content }] });
  say(`image ${name}`, seen.choices[0].message.content);
}

const ids = async (caller) => {
  const found = [];
  for await (const model of caller.models.list()) found.push(model.id);
  return found;
};
say("models", await ids(client));
const otherPrefix = process.env.OPENAI_BASE_URL.replace("/v1", "/api/v1");
say("other prefix", await ids(new OpenAI({ baseURL: otherPrefix })));

const calm = (apiKey) => new OpenAI({ maxRetries: 0, ...(apiKey ? { apiKey } : {}) });
client = calm();
const chat = (caller, more = {}) => () =>
  caller.chat.completions.create({ model: "demo/chat", messages, ...more });
const limited = calm(process.env.LIMITED_KEY);

say("400", await raised(chat(client, { messages: [] })));
say("401", await raised(chat(calm("sk-tp-nobody"))));
say("402", await raised(chat(calm(process.env.POOR_KEY))));
say("403", await raised(chat(client, { model: "demo/cn-only" })));
say("404", await raised(chat(client, { model: "demo/none" })));
// One request a minute: of three at least one is too many, also where a minute ends between them.
const tries = [];
for (let n = 0; n < 3; n += 1) tries.push(await raised(chat(limited)));
say("429", tries.find((saw) => saw.class));
say("502", await raised(() => ask({ simulator: { fault: "server_error" } })));
say("503", await raised(() => ask({ simulator: { fault: "rate_limit" } })));
say("mid-stream", await raised(() => words(ask({ stream: true, simulator: { fault: "cut", at: 2 } }))));
