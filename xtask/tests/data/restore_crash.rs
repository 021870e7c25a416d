//! A restore is killed at every line of its journal; then resumed, and taken back. Nothing may be lost on the way.

mod common;

use common::World;
use common::crash::Scene;

#[test]
fn killed_at_every_line_of_the_journal_it_is_resumed_and_taken_back() {
    let mut scene = Scene::new(World::new());
    scene.stopped_at(0..scene.restore_lines.len(), |scene, operation, number| {
        scene.killed_within(operation, number);
    });
    scene.forget_all();
}

#[test]
fn an_undo_that_is_killed_at_every_line_goes_on() {
    let mut scene = Scene::new(World::new());
    scene.undo_stopped_at(0..scene.undo_lines.len(), |scene, operation, number| {
        scene.undo_killed_within(operation, number);
    });
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
