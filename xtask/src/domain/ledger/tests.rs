use proptest::prelude::*;
use serde_json::json;

use super::*;

const SKEW: TimeDelta = TimeDelta::seconds(30);

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn id(random: u16) -> OperationId {
    OperationId::at(DateTime::UNIX_EPOCH, random)
}

fn holder(pid: u32) -> Holder {
    Holder {
        user: "ann".into(),
        host: "desk".into(),
        pid,
        run: None,
        process: None,
    }
}

fn start(supersedes: Option<u64>) -> Body {
    Body::Started(Started {
        kind: "deploy".into(),
        reason: "because".into(),
        target: "main".into(),
        plan_sha256: "00".into(),
        plan: json!({"steps": []}),
        holder: holder(1),
        lease_ms: 90_000,
        supersedes,
    })
}

fn takeover(from: u64) -> Body {
    Body::TakenOver {
        from,
        holder: holder(2),
        lease_ms: 90_000,
        reason: "resume".into(),
    }
}

fn finish(outcome: OperationOutcome) -> Body {
    Body::Finished {
        outcome,
        facts: json!(null),
    }
}

fn step(name: &str) -> Body {
    Body::Step {
        name: name.into(),
        facts: json!({}),
    }
}

/// Replays `(operation, fence, body)` at one second each; gives the state and which events had effect.
fn replay(events: Vec<(u16, u64, Body)>) -> (LedgerState, Vec<bool>) {
    let mut state = LedgerState::default();
    let effects = events
        .into_iter()
        .zip(1u32..)
        .map(|((operation, fence, body), seq)| {
            state.apply(&LedgerEvent {
                seq: seq.into(),
                at: at(seq.into()),
                operation: id(operation),
                fence,
                body,
            })
        })
        .collect();
    (state, effects)
}

#[test]
fn an_operation_runs_from_start_to_end() {
    let (state, effects) = replay(vec![
        (1, 1, start(None)),
        (1, 1, step("backup")),
        (1, 1, Body::Heartbeat),
        (1, 1, finish(OperationOutcome::Done)),
        (2, 5, start(None)),
    ]);
    assert_eq!(effects, [true; 5]);
    assert_eq!(state.operations[0].steps[0].name, "backup");
    assert_eq!(
        state.operations[0].ended.as_ref().unwrap().outcome,
        OperationOutcome::Done
    );
    assert_eq!(state.held().unwrap().id, id(2));
}

#[test]
fn nobody_begins_while_another_is_unfinished_unless_it_says_so() {
    let (_, effects) = replay(vec![
        (1, 1, start(None)),
        (2, 2, start(None)),
        (2, 3, start(Some(2))),
        (2, 4, start(Some(1))),
    ]);
    assert_eq!(effects, [true, false, false, true]);
}

#[test]
fn a_holder_that_was_taken_over_has_no_effect_any_more() {
    let (state, effects) = replay(vec![
        (1, 1, start(None)),
        (1, 2, takeover(1)),
        (1, 1, step("late")),
        (1, 1, Body::Heartbeat),
        (1, 1, finish(OperationOutcome::Done)),
        (1, 6, takeover(1)),
        (1, 2, step("mine")),
    ]);
    assert_eq!(effects, [true, true, false, false, false, false, true]);
    assert_eq!(state.void.len(), 4);
    assert_eq!(state.held().unwrap().holder, holder(2));
    assert_eq!(state.held().unwrap().steps.len(), 1);
}

#[test]
fn a_stopped_operation_is_free_and_resumable_and_a_finished_one_is_neither() {
    let (stopped, effects) = replay(vec![
        (1, 1, start(None)),
        (1, 1, finish(OperationOutcome::Stopped)),
        (1, 1, step("late")),
    ]);
    assert_eq!(effects, [true, true, false]);
    assert!(stopped.held().is_none() && stopped.unfinished().is_some());
    let (resumed, effects) = replay(vec![
        (1, 1, start(None)),
        (1, 1, finish(OperationOutcome::Stopped)),
        (1, 3, takeover(1)),
        (1, 3, finish(OperationOutcome::Undone)),
        (1, 5, takeover(3)),
    ]);
    assert_eq!(effects, [true, true, true, true, false]);
    assert!(resumed.unfinished().is_none());
}

#[test]
fn an_event_out_of_its_place_or_with_a_made_up_token_is_void() {
    let mut state = LedgerState::default();
    let wrong_place = LedgerEvent {
        seq: 7,
        at: at(0),
        operation: id(1),
        fence: 7,
        body: start(None),
    };
    assert!(!state.apply(&wrong_place));
    let wrong_token = LedgerEvent {
        seq: 2,
        fence: 9,
        ..wrong_place
    };
    assert!(!state.apply(&wrong_token));
    assert_eq!((state.seq, state.void.len()), (2, 2));
}

#[test]
fn a_lease_runs_out_only_beyond_the_clocks_disagreement() {
    let (state, _) = replay(vec![(1, 1, start(None))]);
    let held = state.held().unwrap();
    let cases = [
        (1, Lease::Running),
        (91, Lease::Running),
        (121, Lease::Running),
        (122, Lease::Expired),
        (-29, Lease::Running),
        (-30, Lease::ClockAhead),
    ];
    for (now, expected) in cases {
        assert_eq!(held.lease(at(now), SKEW), expected, "at {now}");
    }
    let (ended, _) = replay(vec![
        (1, 1, start(None)),
        (1, 1, finish(OperationOutcome::Failed)),
    ]);
    assert_eq!(ended.operations[0].lease(at(2), SKEW), Lease::None);
}

#[test]
fn events_keep_their_form_in_json() {
    let event = LedgerEvent {
        seq: 1,
        at: at(0),
        operation: id(1),
        fence: 1,
        body: start(None),
    };
    let text = serde_json::to_string(&event).unwrap();
    assert!(
        text.starts_with(
            r#"{"seq":1,"at":"1970-01-01T00:00:00Z","operation":"19700101-000000-0001","fence":1,"event":"started","kind":"deploy""#
        ),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<LedgerEvent>(&text).unwrap(), event);
}

fn any_body() -> impl Strategy<Value = Body> {
    prop_oneof![
        proptest::option::of(1u64..12).prop_map(start),
        (1u64..12).prop_map(takeover),
        Just(step("s")),
        Just(Body::Heartbeat),
        prop_oneof![Just(OperationOutcome::Done), Just(OperationOutcome::Stopped)].prop_map(finish),
    ]
}

proptest! {
    /// Whatever is appended: at most one operation is unfinished and it is the last, and tokens only grow.
    #[test]
    fn no_chain_makes_two_holders(events in proptest::collection::vec((0u16..4, 1u64..16, any_body()), 0..60)) {
        let mut state = LedgerState::default();
        let mut last_fence = 0;
        for ((operation, fence, body), seq) in events.into_iter().zip(1u64..) {
            // Half of the tokens are right, so that something happens.
            let fence = if fence < 8 { seq } else { state.held().map_or(fence, |held| held.fence) };
            state.apply(&LedgerEvent { seq, at: at(0), operation: id(operation), fence, body });
            let open: Vec<_> = state.operations.iter().filter(|one| one.unfinished()).collect();
            prop_assert!(open.len() <= 1);
            if let Some(held) = state.held() {
                prop_assert!(held.fence >= last_fence);
                last_fence = held.fence;
            }
        }
    }
}

#[test]
fn what_was_left_midway_stays_so_through_a_successor_that_did_nothing() {
    let (state, effects) = replay(vec![
        (1, 1, start(None)),
        (1, 1, step("undo")),
        (2, 3, start(Some(1))),
        (3, 4, start(Some(3))),
    ]);
    assert!(effects.iter().all(|effect| *effect), "{state:?}");
    let last = state.unfinished().unwrap();
    assert_eq!(state.left_midway(last).map(|left| &left.id), Some(&id(1)));
    let (state, _) = replay(vec![(1, 1, start(None)), (2, 2, start(Some(1)))]);
    assert_eq!(state.left_midway(state.unfinished().unwrap()), None);
}
