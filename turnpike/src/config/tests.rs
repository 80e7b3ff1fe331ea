//! Precedence, errors, and that `config.example.yaml` tells the truth.

mod wrong;

use super::secrets::SecretsError;
use super::*;
use serde_json::Value as Json;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;

const EXAMPLE: &str = include_str!("../../../config.example.yaml");

/// Loads a file with that text and those variables.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let dir = TempDir::new().expect("a temporary directory");
    let file = dir.path().join("turnpike.yaml");
    std::fs::write(&file, text).expect("a file");
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let place = format!("{}/", dir.path().display());
    Config::load(Some(&file), variables).map_err(|error| error.to_string().replace(&place, ""))
}

#[test]
fn the_example_is_the_defaults_and_mentions_every_key() {
    assert_eq!(load(EXAMPLE, &[]).expect("the example is valid"), Config::default());
    let example: Json = serde_yaml_ng::from_str(EXAMPLE).expect("YAML");
    let defaults = serde_json::to_value(Config::default()).expect("JSON");
    assert_eq!(keys(&example), keys(&defaults));
}

fn keys(json: &Json) -> Vec<String> {
    let inner = |(name, value): (&String, &Json)| match keys(value).as_slice() {
        [] => vec![name.clone()],
        inner => inner.iter().map(|key| format!("{name}.{key}")).collect(),
    };
    let mut all: Vec<String> = json.as_object().into_iter().flatten().flat_map(inner).collect();
    all.sort();
    all
}

#[test]
fn every_key_of_the_example_can_be_set_by_a_variable() {
    let example: Json = serde_yaml_ng::from_str(EXAMPLE).expect("YAML");
    for key in keys(&example) {
        let name = format!("TURNPIKE__{}", key.replace('.', "__").to_uppercase());
        let at = key
            .split('.')
            .try_fold(&example, |json, part| json.get(part))
            .expect("a key of the example");
        let value = match at {
            Json::Null if key == "data_plane.cores" => "3".to_owned(),
            Json::Null if key == "billing.usage_retention" => "400 days".to_owned(),
            Json::Null if key.starts_with("data_plane.drain.") => "0 s".to_owned(),
            Json::Null => "/somewhere".to_owned(),
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        // These need one another.
        let others = key.split_once(".fleet_tls.").map(|(section, _)| {
            format!("{section}: {{fleet_tls: {{cert_file: a, key_file: b, ca_file: c}}}}")
        });
        load(&others.unwrap_or_default(), &[(&name, &value)])
            .unwrap_or_else(|error| panic!("{name}={value}: {error}"));
    }
}

#[test]
fn a_variable_beats_the_file_and_the_file_beats_the_default() {
    let text =
        "data_plane:\n  listen: 127.0.0.1:1\n  limits: {body_bytes: 1 MiB, head_timeout: 3s}\n";
    let variables = [
        ("TURNPIKE__DATA_PLANE__LISTEN", "0.0.0.0:2"),
        ("TURNPIKE__DATA_PLANE__LIMITS__HEAD_BYTES", "4096"),
        ("TURNPIKE__DATA_PLANE__CORES", "2"),
        ("TURNPIKE__SIMULATOR__LOG", ""),
        ("TURNPIKE_ADMIN_ADDR", "http://elsewhere"),
        ("PATH", "/bin"),
    ];
    let config = load(text, &variables).expect("valid");
    assert_eq!(config.data_plane.listen.to_string(), "0.0.0.0:2");
    assert_eq!(config.data_plane.cores.map(|cores| cores.get()), Some(2));
    assert_eq!(config.data_plane.limits.body_bytes, 1 << 20);
    assert_eq!(config.data_plane.limits.head_bytes, 4096);
    assert_eq!(config.data_plane.limits.head_timeout, Duration::from_secs(3));
    assert_eq!(config.data_plane.limits.json_depth.get(), 128);
    assert_eq!(config.simulator.log, None);
}

#[test]
fn long_times_may_be_written_in_days() {
    let retention = |text: &str| {
        let text = format!("billing: {{usage_retention: {text}}}");
        load(&text, &[]).map(|config| config.billing.usage_retention)
    };
    assert_eq!(retention("90 days"), Ok(Some(Duration::from_secs(90 * 86_400))));
    assert_eq!(retention("1d"), Ok(Some(Duration::from_secs(86_400))));
    assert_eq!(retention("null"), Ok(None));
    for wrong in ["0 days", "-1 d", "half days", "days"] {
        assert!(retention(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_pause_may_be_none_at_all_and_is_left_to_the_process_when_it_is_not_told() {
    let grace = |text: &str| {
        let text = format!("data_plane: {{drain: {{grace: {text}}}}}");
        load(&text, &[]).map(|config| config.data_plane.drain.grace)
    };
    assert_eq!(grace("null"), Ok(None));
    assert_eq!(grace("0 s"), Ok(Some(Duration::ZERO)));
    assert_eq!(grace("15 s"), Ok(Some(Duration::from_secs(15))));
    for wrong in ["0", "-1 s", "soon"] {
        assert!(grace(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_section_without_keys_changes_nothing() {
    let text = "data_plane:\n  # listen: 127.0.0.1:1\n  limits:\nbilling:\n";
    assert_eq!(load(text, &[]).expect("valid"), Config::default());
    assert_eq!(load("", &[]).expect("valid"), Config::default());
    assert_eq!(Config::load(None, []).expect("valid"), Config::default());
}

#[test]
fn a_wrong_variable_is_named() {
    let table = [
        (
            "TURNPIKE__DATA_PLANE__LISTN",
            "127.0.0.1:1",
            "TURNPIKE__DATA_PLANE__LISTN: unknown key `data_plane.listn`; did you mean `data_plane.listen`?",
        ),
        ("TURNPIKE__OPS__LISTEN", "nowhere", "TURNPIKE__OPS__LISTEN: `ops.listen`: "),
        ("TURNPIKE__OPS", "x", "TURNPIKE__OPS: `ops`: "),
        ("TURNPIKE__", "x", "TURNPIKE__: unknown key"),
    ];
    for (name, value, says) in table {
        let error = load("", &[(name, value)]).expect_err(name);
        assert!(error.contains(says), "{name}\n  said: {error}\n  not:  {says}");
    }
}

#[test]
fn a_control_plane_is_where_either_name_says_or_on_this_machine() {
    let table = [
        ("", vec!["http://127.0.0.1:7071"]),
        ("data_plane: {control_plane_addr: 'http://a:1'}", vec!["http://a:1"]),
        ("data_plane: {control_plane_addrs: ['http://a:1']}", vec!["http://a:1"]),
        ("data_plane: {control_plane_addrs: [b, a]}", vec!["b", "a"]),
        (
            "data_plane: {fleet_tls: {cert_file: a, key_file: b, ca_file: c}}",
            vec!["https://127.0.0.1:7071"],
        ),
    ];
    for (text, addresses) in table {
        assert_eq!(load(text, &[]).expect(text).data_plane.control_planes(), addresses, "{text}");
    }
    let variable = "TURNPIKE__DATA_PLANE__CONTROL_PLANE_ADDRS";
    let config = load("", &[(variable, r#"["http://a:1", "http://b:1"]"#)]).expect(variable);
    assert_eq!(config.data_plane.control_planes(), ["http://a:1", "http://b:1"]);
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let error =
        Config::load(Some(Path::new("/nowhere/turnpike.yaml")), []).expect_err("no such file");
    assert!(error.to_string().contains("/nowhere/turnpike.yaml"), "{error}");
}

#[test]
fn sizes_and_times_survive_being_written() {
    let mut config = Config::default();
    config.data_plane.limits.body_bytes = 1_000_001;
    config.data_plane.limits.head_bytes = 5_000;
    config.data_plane.money.wait_max = Duration::from_micros(1_500);
    config.data_plane.limits.stream_timeout = Duration::from_secs(90 * 60);
    let text = serde_yaml_ng::to_string(&config).expect("YAML");
    assert_eq!(load(&text, &[]).expect("what was written can be read"), config, "{text}");
}

/// The crates have defaults of their own, for their tests; operators read those of the example.
#[test]
fn the_defaults_are_those_that_the_roles_have() {
    let plane = DataPlane::default();
    let limits = ::data_plane::Limits::default();
    let pace = ::data_plane::Pace::default();
    let purse = ::data_plane::purse::PurseSettings::new("x");
    let spool = ::links::spool::SpoolSettings::new("x");
    let feed = ::links::feed::SubscriberSettings::default();
    let kept = ::data_plane::configuration::ConfigurationSettings::new("x", [0; 32]);
    assert_eq!(plane.configuration.max_config_age, kept.age_max);
    assert_eq!(plane.configuration.deleted_percent, kept.guard.deleted_percent);
    assert_eq!(plane.configuration.deleted_min, kept.guard.deleted_min);
    assert_eq!(plane.configuration.held_back_for, kept.guard.held_back_for);
    assert_eq!(plane.configuration.mend_again_after, kept.mend_again_after);
    assert_eq!(plane.configuration.snapshot_objects.get(), feed.snapshot_objects);
    let size = |bytes: u64| usize::try_from(bytes).expect("fits");
    assert_eq!(size(plane.configuration.snapshot_bytes), feed.snapshot_bytes);
    assert_eq!(size(plane.limits.body_bytes), limits.body_bytes);
    assert_eq!(size(plane.limits.head_bytes), limits.head_bytes);
    assert_eq!(plane.limits.json_depth.get(), limits.json_depth);
    assert_eq!(size(plane.limits.answer_head_bytes), limits.answer_head_bytes);
    assert_eq!(size(plane.limits.answer_bytes), limits.answer_bytes);
    assert_eq!(size(plane.limits.event_bytes), limits.event_bytes);
    assert_eq!(plane.limits.choices.get(), limits.choices);
    assert_eq!(plane.limits.web_searches, limits.web_searches);
    assert_eq!(plane.limits.counted_bytes, limits.counted_bytes);
    assert_eq!(plane.limits.models.get(), limits.models);
    assert_eq!(size(plane.limits.session_id_bytes), limits.session_id_bytes);
    assert_eq!(plane.limits.attempts.get(), limits.attempts);
    assert_eq!(size(plane.limits.app_bytes), limits.app_bytes);
    assert_eq!(plane.limits.connections.get(), limits.connections);
    assert_eq!(plane.limits.head_timeout, pace.head);
    assert_eq!(plane.limits.body_timeout, pace.body);
    assert_eq!(plane.limits.write_timeout, pace.write);
    assert_eq!(plane.limits.connect_timeout, pace.connect);
    assert_eq!(plane.limits.upstream_idle_timeout, pace.upstream_idle);
    assert_eq!(plane.limits.first_token_timeout, pace.first_token);
    assert_eq!(plane.limits.between_tokens_timeout, pace.between_tokens);
    assert_eq!(plane.limits.stream_timeout, pace.stream);
    assert_eq!(plane.limits.answer_timeout, pace.answer);
    assert_eq!(plane.limits.stream_headers_wait, pace.keep_alive);
    assert_eq!(plane.limits.cooldown, pace.cooldown);
    assert_eq!(plane.limits.cooldown_max, pace.cooldown_max);
    assert_eq!(plane.limits.speed_age_max, pace.speed_age_max);
    assert_eq!(plane.money.wait_max, purse.wait_max);
    assert_eq!(plane.money.report_every, purse.report_every);
    assert_eq!(plane.money.idle_release_after, purse.idle_release_after);
    assert_eq!(plane.spool.segment_bytes, spool.segment_bytes);
    assert_eq!(plane.spool.capacity_bytes, spool.capacity_bytes);
    assert_eq!(plane.spool.sync_interval, spool.sync_interval);
    assert_eq!(plane.spool.high_water_percent, spool.high_water_percent);
    let admin = control_plane::AdminLimits::default();
    assert_eq!(control_plane::AdminLimits::from(&ControlPlane::default().limits), admin);
    let connections = ::links::tcp::TcpSettings::default();
    assert_eq!(::links::tcp::TcpSettings::from(&ControlPlane::default().connections), connections);
    let consumer = billing::consumer::ConsumerSettings::default();
    assert_eq!(Billing::default().batch_events.get(), consumer.batch);
}

fn in_directory(dir: &TempDir) -> Config {
    Config { data_dir: dir.path().join("data"), ..Config::default() }
}

#[test]
fn secrets_are_made_once_for_the_owner_alone() {
    let dir = TempDir::new().expect("a temporary directory");
    let config = in_directory(&dir);
    let first = Secrets::load(&config, true).expect("made");
    let again = Secrets::load(&config, true).expect("read");
    assert_eq!(first.operator_token, again.operator_token);
    assert_eq!(first.seal_key, again.seal_key);
    assert_eq!(first.pepper, again.pepper);
    assert_ne!(first.seal_key, first.pepper);
    for name in ["operator.token", "seal.key", "pepper.key"] {
        let mode =
            std::fs::metadata(config.data_dir.join(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_lost_secret_is_not_replaced_but_one_whose_making_was_cut_short_is_completed() {
    let dir = TempDir::new().expect("a temporary directory");
    let config = in_directory(&dir);
    let first = Secrets::load(&config, true).expect("made");
    let pepper = config.data_dir.join("pepper.key");
    std::fs::rename(&pepper, config.data_dir.join("pepper.new")).expect("back to a draft");
    assert_eq!(Secrets::load(&config, true).expect("completed").pepper, first.pepper);
    std::fs::remove_file(&pepper).expect("lost");
    let error = Secrets::load(&config, true).err().expect("refused").to_string();
    assert!(error.contains("pepper.key is missing") && error.contains("backup"), "{error}");
}

#[test]
fn where_replicas_need_the_same_secrets_none_is_made() {
    let dir = TempDir::new().expect("a temporary directory");
    let config = in_directory(&dir);
    let error = Secrets::load(&config, false).err().expect("refused").to_string();
    assert!(error.contains("openssl rand -hex 32"), "{error}");
    assert!(!config.data_dir.join("operator.token").exists());
    Secrets::load(&config, true).expect("made");
    Secrets::load(&config, false).expect("read");
}

#[test]
fn a_database_is_named_without_its_password() {
    let shown = [
        ("postgres://turnpike:secret@db/main?sslmode=require", "postgres://turnpike@db/main"),
        ("postgres://turnpike:s@cret@db:5432/main", "postgres://turnpike@db:5432/main"),
        ("postgres://db/main?password=secret", "postgres://db/main"),
        ("sqlite:///var/lib/turnpike.db", "sqlite:///var/lib/turnpike.db"),
    ];
    for (url, expected) in shown {
        assert_eq!(without_password(url), expected);
    }
}

#[test]
fn named_secrets_are_read_and_never_made() {
    let dir = TempDir::new().expect("a temporary directory");
    let mut config = in_directory(&dir);
    let token = dir.path().join("token");
    config.control_plane.operator_token_file = Some(token.clone());
    assert!(Secrets::load(&config, true).err().expect("no file").to_string().contains("token"));
    std::fs::write(&token, "\n").expect("a file");
    assert!(matches!(Secrets::load(&config, true), Err(SecretsError::Empty(_))));
    std::fs::write(&token, " let me in \n").expect("a file");
    assert_eq!(Secrets::load(&config, true).expect("read").operator_token, "let me in");
    std::fs::write(config.data_dir.join("seal.key"), "too short").expect("a file");
    assert!(matches!(Secrets::load(&config, true), Err(SecretsError::Malformed(_))));
}

#[test]
fn the_defaults_of_links_and_billing_are_those_that_the_crates_have() {
    let links = Links::default();
    let same = |ours: &dyn std::fmt::Debug, theirs: &dyn std::fmt::Debug| {
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    };
    same(&links.tcp(), &::links::tcp::TcpSettings::default());
    same(&links.reconnect(), &::links::ReconnectSettings::default());
    let publisher = ::links::feed::PublisherSettings::default();
    same(&links.publisher(), &publisher);
    let wire = links.wire(::links::feed::SnapshotKey::derive(&[0; 32]));
    same(&wire.beat_interval, &publisher.heartbeat_interval);
    same(&wire.silence, &publisher.silence);
    same(&links.escrow_listener(), &::links::escrow::EscrowListenerSettings::default());
    same(&links.escrow_link(), &::links::escrow::EscrowLinkSettings::default());
    same(&links.usage_listener(), &::links::usage::UsageListenerSettings::default());
    same(&links.shipper(), &::links::usage::ShipperSettings::default());
    let (billing, consumer) =
        (Billing::default(), ::billing::consumer::ConsumerSettings::default());
    assert_eq!(billing.batch_events.get(), consumer.batch);
    assert_eq!(billing.linger, consumer.linger);
    assert_eq!(billing.retry_after, consumer.retry_after);
    assert_eq!(billing.retry_after_max, consumer.retry_after_max);
    assert_eq!(billing.look_again, consumer.look_again);
    let (escrow, desk) = (billing.escrow, ::billing::desk::DeskSettings::default());
    assert_eq!(escrow.recall_wait, desk.recall_wait);
    assert_eq!(escrow.heard_interval, desk.heard_every);
    assert_eq!(escrow.suspect_after, desk.suspect_after);
    assert_eq!(escrow.give_up_after, desk.give_up_after);
}
