//! A topic is made once, and one that does not fit is refused.

use crate::site::{ONE_COPY, Site};
use links::usage::topic::{TopicError, TopicSettings, check_topic, make_topic};
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use servers::Kafka;

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_made_once_and_one_that_does_not_fit_is_refused() {
    let site = Site::on(Kafka::shared(), "made");
    let missing = check_topic(&site.settings).await.unwrap_err();
    assert!(matches!(missing, TopicError::Missing(_)), "{missing}");
    assert!(make_topic(&site.settings, ONE_COPY).await.unwrap());
    assert!(!make_topic(&site.settings, ONE_COPY).await.unwrap());
    check_topic(&site.settings).await.unwrap();

    let narrow = TopicSettings::new(site.settings.brokers.clone(), "narrow");
    let topic = narrow.topic();
    let wanted = NewTopic::new(&topic, 3, TopicReplication::Fixed(1));
    let made = site.operator().create_topics([&wanted], &AdminOptions::new()).await.unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let refused = make_topic(&narrow, ONE_COPY).await.unwrap_err();
    assert!(matches!(refused, TopicError::Partitions { partitions: 3, .. }), "{refused}");

    let nobody = TopicSettings::new(vec!["127.0.0.1:9".to_owned()], "made");
    let away = make_topic(&nobody, ONE_COPY).await.unwrap_err();
    assert!(matches!(away, TopicError::Brokers { .. }), "{away}");
}
