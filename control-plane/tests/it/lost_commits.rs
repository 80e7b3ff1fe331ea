//! A real standby that is promoted without the last commits: what was lost is lost, but nothing goes on as if it had not
//! been there.

use crate::on_postgres::feed::View;
use crate::on_postgres::harness::{objects_of, settings};
use crate::on_postgres::samples;
use control_plane::{AdminLimits, ControlPlane, ControlPlaneSettings};
use domain::id::Revision;
use proto::admin::v1::Plan;
use proto::admin::v1::object::Object as Any;
use servers::Postgres;
use std::time::Duration;
use storage::Database;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Far beyond what any step takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often it is looked for what others did.
const SOON: Duration = Duration::from_millis(20);

/// A primary with a standby that follows when it likes.
struct Pair {
    primary: Postgres,
    standby: Postgres,
    name: String,
}

impl Pair {
    async fn start() -> Self {
        let primary = Postgres::start();
        let url = primary.database();
        let database = Database::open(&url).await.unwrap();
        database.migrate().await.unwrap();
        database.close().await;
        let name = url.rsplit_once('/').unwrap().1.split_once('?').unwrap().0.to_owned();
        let standby = primary.standby();
        Self { primary, standby, name }
    }

    /// A control plane over whichever of the two takes writes.
    async fn control_plane(
        &self,
        stop: &CancellationToken,
        follow_every: Duration,
    ) -> ControlPlane {
        let url = self.primary.url_with(&self.standby, &self.name);
        let database = Database::open(&url).await.unwrap();
        let settings = ControlPlaneSettings { follow_every, ..settings(AdminLimits::default()) };
        ControlPlane::start(settings, database, stop.clone()).await.unwrap()
    }

    /// Waits until the standby has a revision, and lets it follow no further.
    async fn leave_behind(&mut self, at: Revision) {
        let rev = at.rev.to_string();
        let asked = "SELECT rev FROM config_head";
        wait_for(|| self.standby.execute(&self.name, asked) == rev).await;
        self.standby.stop();
    }

    /// The primary is gone with all that only it had.
    fn fail_over(&mut self) {
        self.primary.kill();
        self.standby.run();
        self.standby.promote();
    }
}

async fn wait_for(mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !is_so() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, waited).await.expect("it never was");
}

/// The revision that has a plan of this name.
async fn add_plan(control_plane: &ControlPlane, name: &str) -> Revision {
    let plan = Plan { name: name.to_owned(), ..samples::plan() };
    control_plane.apply(objects_of([Any::Plan(plan)])).await.unwrap();
    control_plane.publisher().head()
}

/// The same, as soon as it can be done.
async fn add_plan_in_the_end(control_plane: &ControlPlane, name: &str) {
    let added = async {
        let plan = Plan { name: name.to_owned(), ..samples::plan() };
        while control_plane.apply(objects_of([Any::Plan(plan.clone())])).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, added).await.expect("changes never went on");
}

fn plans(view: &View) -> Vec<&str> {
    let mut names: Vec<&str> = view.snapshot.plans.values().map(|plan| &*plan.name).collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_that_outlives_the_loss_begins_a_new_generation() {
    let mut pair = Pair::start().await;
    let stop = CancellationToken::new();
    let control_plane = pair.control_plane(&stop, SOON).await;
    let kept = add_plan(&control_plane, "kept").await;
    pair.leave_behind(kept).await;
    let lost = add_plan(&control_plane, "lost").await;
    let mut view = View::begin(&control_plane, "dp-1", None).await;
    assert_eq!(plans(&view), ["kept", "lost"]);

    pair.fail_over();
    timeout(DEADLINE, view.follow_into(lost.generation + 1)).await.expect("a new generation");
    assert!(view.snapshot.revision.rev > lost.rev);
    assert_eq!(plans(&view), ["kept"], "what is lost is served no longer");
    add_plan_in_the_end(&control_plane, "after").await;
    let next = view.snapshot.revision.rev + 1;
    timeout(DEADLINE, view.follow_to(next)).await.expect("changes go on");
    assert_eq!(plans(&view), ["after", "kept"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_that_knows_what_was_lost_tells_a_control_plane_that_does_not() {
    let mut pair = Pair::start().await;
    let stop = CancellationToken::new();
    let before = pair.control_plane(&stop, SOON).await;
    let kept = add_plan(&before, "kept").await;
    pair.leave_behind(kept).await;
    let lost = add_plan(&before, "lost").await;
    // Whoever committed it is gone as well: a data plane's disk alone remembers.
    stop.cancel();
    pair.fail_over();
    let stop = CancellationToken::new();
    let after = pair.control_plane(&stop, SOON).await;
    assert_eq!(after.publisher().head(), kept);

    let view = timeout(DEADLINE, View::begin(&after, "dp-1", Some(lost))).await;
    let view = view.expect("it is given what there is");
    assert_eq!(plans(&view), ["kept"]);
    let begun = view.snapshot.revision;
    assert_eq!(begun.generation, lost.generation + 1);
    assert!(begun.rev > lost.rev, "the revision of what was lost is never given out again");
    let rows = "SELECT generation || '.' || rev FROM config_head";
    let expected = format!("{}.{}", begun.generation, begun.rev);
    assert_eq!(pair.standby.execute(&pair.name, rows), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_on_a_database_that_has_lost_commits_is_refused_until_the_new_generation() {
    let mut pair = Pair::start().await;
    // It looks for others only when it is told to, which the refused change does.
    let stop = CancellationToken::new();
    let control_plane = pair.control_plane(&stop, DEADLINE * 10).await;
    let kept = add_plan(&control_plane, "kept").await;
    pair.leave_behind(kept).await;
    let lost = add_plan(&control_plane, "lost").await;
    pair.fail_over();
    add_plan_in_the_end(&control_plane, "after").await;
    let view = View::begin(&control_plane, "dp-1", None).await;
    assert_eq!(plans(&view), ["after", "kept"]);
    assert_eq!(view.snapshot.revision.generation, lost.generation + 1);
}
