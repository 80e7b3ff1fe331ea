//! Upstreams that lead elsewhere (case 38 of the list of bad inputs, and server-side request forgery): no redirect is
//! followed, and an address that is not public is refused when it is written and again when it is dialled.

use integration_tests::{Gateway, Reply, Request, SimulatorProcess, say};

fn upstream(url: &str) -> String {
    format!(
        "kind: Upstream\nname: demo-a\nspec: {{vendor: simulator, dialect: openai, base_url: '{url}', \
         credential: secret-of-demo-a, jurisdiction: SG, stops_on_abort: true}}\n"
    )
}

#[tokio::test]
async fn case_38_a_redirect_is_not_followed_and_costs_nothing() {
    let gateway = Gateway::demo().start().await;
    for streams in [false, true] {
        let mut body = say(3);
        body["stream"] = streams.into();
        body["x_simulator"]["fault"] = "redirect".into();
        let reply = gateway.chat(gateway.api_key(), body).await;
        assert_eq!(reply.status, 502, "{}", reply.text());
        assert_eq!(reply.header("location"), None);
        let attempts = gateway.simulator().attempts_of(reply.request_id(), 2).await;
        assert!(attempts.iter().all(|attempt| attempt["path"] == "/v1/chat/completions"));
        let bill = gateway.admin().bill(reply.request_id()).await;
        assert_eq!(bill["charge_nano"], "0", "{bill}");
    }
}

#[tokio::test]
async fn an_upstream_at_an_address_that_is_not_public_is_refused_when_it_is_written() {
    let gateway = Gateway::demo().start().await;
    for url in [
        "http://169.254.169.254/latest",
        "http://10.0.0.1/v1",
        "http://[::ffff:10.0.0.1]/v1",
        "http://[64:ff9b::a9fe:a9fe]/v1",
        "http://[fd00::1]/v1",
        "http://0x0a.1/v1",
        "http://2852039166/v1",
    ] {
        let refused = gateway.admin().run_with(&["apply", "-f", "-"], &upstream(url)).await;
        assert_eq!(refused.status, 1, "{url}: {}", refused.stderr);
        assert!(refused.stderr.contains("base_url"), "{url}: {}", refused.stderr);
    }
    let reply = gateway.chat(gateway.api_key(), say(1)).await;
    assert_eq!(reply.status, 200, "what was refused changed nothing: {}", reply.text());
}

/// A second life without the demo: this machine is not open to upstreams any more, but the rows still name it.
#[tokio::test]
async fn an_upstream_at_an_address_that_is_not_public_is_not_dialled() {
    let simulator = SimulatorProcess::start().await;
    let mut gateway = Gateway::demo().external_simulator(simulator.url()).start().await;
    assert_eq!(gateway.chat(gateway.api_key(), say(1)).await.status, 200);
    let port = simulator.url().rsplit_once(':').unwrap().1.to_owned();
    gateway.admin().apply(&upstream(&format!("http://localhost:{port}/v1"))).await;
    let seen = simulator.log_lines().len();
    gateway.stop().await;
    gateway.restart_without_demo().await;
    // One upstream is an address of this machine, the other a name that leads to it.
    let reply = gateway.chat(gateway.api_key(), say(1)).await;
    is_down(&reply);
    assert_eq!(simulator.log_lines().len(), seen, "nothing was sent");
    assert!(gateway.stderr().contains("egress.allowed_networks"), "{}", gateway.stderr());
    let models = gateway.send(&Request::get("/v1/models").bearer(gateway.api_key())).await;
    assert_eq!(models.status, 200);
}

fn is_down(reply: &Reply) {
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(!reply.text().contains("127.0.0.1") && !reply.text().contains("localhost"));
}
