//! A holder that was stopped while another one took over changes nothing in the database when it wakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;
use mongodb::bson::doc;
use rehearsal::test_env::restore::RestoreEnv;
use xtask::database::{Fence, Live, Renamed};
use xtask::domain::operation::OperationId;
use xtask::lock_proof::LockProof;
use xtask::operation::run::is_taken_over;

const PLAN: &str = "__plan_20260102-030405-ab12";

/// The database in the hands of the holder with this token, and the switch that ends its lease.
fn holder(env: &RestoreEnv, token: u64) -> (Live, Arc<AtomicBool>) {
    let expired = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&expired);
    let fence = Fence {
        operation: operation(),
        token,
        proof: LockProof::new(move || {
            if switch.load(Ordering::SeqCst) {
                bail!("the lease ran out");
            }
            Ok(())
        }),
    };
    (env.live().fenced(fence), expired)
}

fn operation() -> OperationId {
    "20260102-030405-ab12".parse().unwrap()
}

#[test]
fn a_holder_that_was_replaced_renames_and_drops_nothing() {
    let env = RestoreEnv::start();
    for name in ["orders", "__new_20260102-030405-ab12_orders"] {
        env.collection(name).insert_one(doc! { "_id": 1 }).run().unwrap();
    }
    let (mut first, _) = holder(&env, 7);
    first.claim(PLAN).unwrap();
    assert_eq!(first.rename("orders", "moved").unwrap(), Renamed::Done);
    assert_eq!(first.rename("moved", "orders").unwrap(), Renamed::Done);
    first.keep_lines(PLAN, &[(0, "a plan".to_owned())]).unwrap();

    let (mut second, _) = holder(&env, 9);
    second.claim(PLAN).unwrap();
    let before = env.inventory();
    let refused = [
        first.rename("orders", "moved").map(drop).unwrap_err(),
        first.drop_own("__new_20260102-030405-ab12_orders").unwrap_err(),
        first.claim(PLAN).unwrap_err(),
        first
            .keep_lines(PLAN, &[(0, "another plan".to_owned())])
            .unwrap_err(),
    ];
    for error in refused {
        assert!(is_taken_over(&error), "{error:#}");
    }
    assert_eq!(before.compare(&env.inventory()), []);
    assert!(
        env.live()
            .listed()
            .unwrap()
            .contains_key("__new_20260102-030405-ab12_orders")
    );
    assert_eq!(second.kept_lines(PLAN).unwrap(), ["a plan"]);

    // The new holder goes on, and may claim again.
    second.claim(PLAN).unwrap();
    assert_eq!(second.rename("orders", "moved").unwrap(), Renamed::Done);
    // Where the collection with the token is gone, the operation is over for everybody.
    env.live().drop_own(PLAN).unwrap();
    assert!(is_taken_over(
        &second.rename("moved", "orders").map(drop).unwrap_err()
    ));
}

#[test]
fn no_change_is_made_once_the_lease_has_run_out() {
    let env = RestoreEnv::start();
    env.collection("orders")
        .insert_one(doc! { "_id": 1 })
        .run()
        .unwrap();
    let (mut live, expired) = holder(&env, 7);
    live.claim(PLAN).unwrap();
    expired.store(true, Ordering::SeqCst);
    let error = live.rename("orders", "moved").unwrap_err();
    assert!(format!("{error:#}").contains("the lease ran out"), "{error:#}");
    assert!(live.claim(PLAN).is_err());
    assert!(env.live().listed().unwrap().contains_key("orders"));
}
