"""What the official Python SDK makes of the gateway: one JSON line per case, `{"case": …, "saw": …}`.

The SDK is used as its users do: base URL and key from the environment, nothing else changed.
"""

import json
import os

import openai

MESSAGES = [{"role": "user", "content": "hello"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

client = openai.OpenAI()


def say(case, saw):
    print(json.dumps({"case": case, "saw": saw}), flush=True)


def ask(**more):
    extra = {"x_simulator": more.pop("simulator", {"tokens": 4})}
    request = {"model": "demo/chat", "messages": MESSAGES, "extra_body": extra, **more}
    return client.chat.completions.create(**request)


def words(stream):
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    return {"text": text, "usage": [c.usage.completion_tokens for c in chunks if c.usage]}


def raised(call):
    try:
        call()
    except openai.APIStatusError as error:
        return {"class": type(error).__name__, "status": error.status_code, "id": bool(error.request_id)}
    except openai.APIError as error:
        return {"class": type(error).__name__, "message": str(error)}
    return {"class": None}


answer = ask()
say("chat", {"text": answer.choices[0].message.content, "output": answer.usage.completion_tokens})
say("stream", words(ask(stream=True)))
say("stream with usage", words(ask(stream=True, stream_options={"include_usage": True})))

tools = {"tools": [TOOL], "tool_choice": "required", "simulator": {}}
call = ask(**tools).choices[0].message.tool_calls[0].function
say("tools", {"name": call.name, "arguments": sorted(json.loads(call.arguments))})
deltas = [c.choices[0].delta.tool_calls for c in ask(**tools, stream=True) if c.choices]
calls = [d[0].function for d in deltas if d]
arguments = "".join(c.arguments or "" for c in calls)
say("tools in a stream", {"name": calls[0].name, "arguments": sorted(json.loads(arguments))})

text = ask(response_format={"type": "json_object"}, simulator={}).choices[0].message.content
say("json object", isinstance(json.loads(text), dict))
form = {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": SCHEMA}}
text = ask(response_format=form, simulator={}).choices[0].message.content
say("json schema", sorted(json.loads(text)))

prefill = MESSAGES + [{"role": "assistant", "content": "Once"}]
say("prefill", ask(messages=prefill).choices[0].message.content)
for name, url in [("by address", "https://example.com/a.png"), ("inline", PIXEL)]:
    image = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    content = [{"type": "text", "text": "what is this?"}, image]
    seen = ask(model="demo/vision", messages=[{"role": "user", "content": content}])
    say(f"image {name}", seen.choices[0].message.content)

say("models", [model.id for model in client.models.list()])
other = openai.OpenAI(base_url=os.environ["OPENAI_BASE_URL"].replace("/v1", "/api/v1"))
say("other prefix", [model.id for model in other.models.list()])

calm = client.with_options(max_retries=0)
client = calm
stranger = calm.with_options(api_key="sk-tp-nobody")
poor = calm.with_options(api_key=os.environ["POOR_KEY"])
limited = calm.with_options(api_key=os.environ["LIMITED_KEY"])


def chat(caller, **more):
    request = {"model": "demo/chat", "messages": MESSAGES, **more}
    return lambda: caller.chat.completions.create(**request)


say("400", raised(chat(calm, messages=[])))
say("401", raised(chat(stranger)))
say("402", raised(chat(poor)))
say("403", raised(chat(calm, model="demo/cn-only")))
say("404", raised(chat(calm, model="demo/none")))
# One request a minute: of three at least one is too many, also where a minute ends between them.
tries = [raised(chat(limited)) for _ in range(3)]
say("429", next(saw for saw in tries if saw["class"]))
say("502", raised(lambda: ask(simulator={"fault": "server_error"})))
say("503", raised(lambda: ask(simulator={"fault": "rate_limit"})))
say("mid-stream", raised(lambda: words(ask(stream=True, simulator={"fault": "cut", "at": 2}))))
