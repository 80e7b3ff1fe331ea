//! Whether each service of the admin port is served, for `grpc.health.v1`.

use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The process as a whole.
const ALL: &str = "";

/// What health answers.
#[derive(Clone)]
pub(crate) struct Health {
    reporter: HealthReporter,
    services: Vec<&'static str>,
}

impl Health {
    /// Of these services, which are served.
    pub(crate) fn new(reporter: HealthReporter, services: Vec<&'static str>) -> Self {
        Self { reporter, services }
    }

    /// From now on nothing is; whoever watches is told.
    pub(crate) async fn stop_serving(&self) {
        for service in self.services.iter().copied().chain([ALL]) {
            self.reporter.set_service_status(service, ServingStatus::NotServing).await;
        }
    }
}
