//! A restore is killed at every line of its journal; then resumed, and taken back. Nothing may be lost on the way.

mod common;

use common::World;
use common::crash::Scene;

#[test]
fn killed_at_every_line_of_the_journal_it_is_resumed_and_taken_back() {
    let mut scene = Scene::new(World::new());
    for number in 0..scene.restore_lines.len() {
        for straight_back in [false, true] {
            let operation = scene.begin();
            scene.killed_within(&operation, number);
            let line = format!("line {number} {}", scene.restore_lines[number]);
            if straight_back {
                scene.undo(&operation, &line);
            } else {
                scene.resume_and_undo(&operation, &line);
            }
        }
    }
    scene.forget_all();
}

#[test]
fn an_undo_that_is_killed_at_every_line_goes_on() {
    let mut scene = Scene::new(World::new());
    for number in 0..scene.undo_lines.len() {
        let operation = scene.begin();
        scene.world.ok(&["restore", "--resume", &operation]);
        scene.undo_killed_within(&operation, number);
        scene.undo(&operation, &format!("line {number} {}", scene.undo_lines[number]));
    }
    scene.forget_all();
}

#[test]
fn the_journal_is_lost_with_its_machine_and_another_one_goes_back() {
    let mut scene = Scene::new(World::new());
    let operation = scene.begin();
    scene.world.ok(&["restore", "--resume", &operation]);
    std::fs::remove_dir_all(scene.world.root().join(".xtask")).unwrap();
    scene.undo(&operation, "the journal was lost");
}
