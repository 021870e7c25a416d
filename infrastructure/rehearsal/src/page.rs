//! The rehearsal as a page of the same kind as that of `metrics`.

use maud::{Markup, html};
use xtask::domain::timeline::Timing;
use xtask::report::page::{self, card, legend};
use xtask::report::{duration_ms, plot};

use crate::scenarios::release_and_rollback::Rehearsed;

/// The whole page.
pub(crate) fn page(rehearsed: &Rehearsed) -> String {
    let subtitle = format!(
        "{} documents; {} was released, {} replaced it and was found unhealthy ({}), {} took it back",
        rehearsed.documents,
        rehearsed.first_release,
        rehearsed.bad_release,
        rehearsed.fault_found.join(", "),
        rehearsed.rollback_release
    );
    let (recovery_ms, budget_ms) = (rehearsed.recovery_ms, rehearsed.budget_ms);
    let kept = rehearsed.written_after_backup.to_string();
    let body = html! {
        div.cards {
            (card("recovered in", &duration_ms(recovery_ms), &format!("goal < {}", duration_ms(budget_ms)), Some(recovery_ms < budget_ms)))
            (card("later writes kept", &kept, "documents written after the backup", None))
            (card("rehearsed in", &duration_ms(rehearsed.elapsed_ms), "with all that it starts", None))
        }
        h2 { "Rollback against " (duration_ms(budget_ms)) }
        (legend(&[("bar", "decided the time"), ("light", "beside it"), ("failed", "over its budget")]))
        (plot::against_budget("whole", recovery_ms, budget_ms))
        (steps(&rehearsed.rollback_timeline))
        h2 { "Deploy of the faulty release" }
        (steps(&rehearsed.deploy_timeline))
        h2 { "Proof" }
        p { (rehearsed.proof.text()) }
    };
    page::page("Rehearsal of a release and its rollback", &subtitle, &body)
}

fn steps(timeline: &[Timing]) -> Markup {
    let end_ms = timeline
        .iter()
        .map(|timing| timing.start_ms + timing.duration_ms)
        .max();
    plot::gantt(timeline, end_ms.unwrap_or(0))
}
