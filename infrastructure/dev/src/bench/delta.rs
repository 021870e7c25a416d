//! `bench delta`: what a restore would lose, beside the program that is written first: all of the backup in a hash map, then
//! one look at everything that is live.

use anyhow::{Result, ensure};
use mongodb::bson::{Document, doc};
use xshell::cmd;

use super::contest::{Run, Side};
use super::data::{COLLECTIONS, Recorded, collection, id, record};
use super::ground::Ground;
use super::live::{keep, with_server};
use super::measure;
use super::report::Row;
use xtask::database::Live;

const SMALLEST_BYTES: u64 = 5_000_000;
/// Of so many documents one is deleted, one changed, and one new.
const ONE_IN: u64 = 200;

pub(super) fn run(ground: &Ground) -> Result<Vec<Row>> {
    ground.at_each_scale(|scale| at(ground, scale))
}

fn at(ground: &Ground, scale: u32) -> Result<Vec<Row>> {
    let folder = ground.new_folder()?;
    let recorded = record(folder.path(), SMALLEST_BYTES * u64::from(scale))?;
    let repository = ground.repository("http://127.0.0.1:1")?;
    let backup = keep(&repository, &recorded.path)?;
    with_server(ground, |server| {
        server.fill(&recorded.path)?;
        let written = write_since(&server.live()?, &recorded)?;
        let expected = format!("{written} created, {written} changed, {written} deleted");
        let (sh, us, backup) = (repository.shell()?, &ground.us, &backup);
        let found = |work: &str| {
            let exec = server.client(cmd!(sh, "{us} bench work {work} {backup}"));
            let (printed, cost) = measure::run(exec)?;
            ensure!(
                printed.trim() == expected,
                "it found {printed} instead of {expected}"
            );
            Ok(Run::new(cost, printed.trim()))
        };
        let sides = [
            Side::new("all in a hash map", || found("plain-delta")),
            Side::new("ours", || found("delta")),
        ];
        ground.grown("delta", recorded.text(), scale).run(&sides)
    })
}

/// Deletes, changes and adds documents here and there; gives how many of each.
fn write_since(live: &Live, recorded: &Recorded) -> Result<u64> {
    let each = recorded.documents / COLLECTIONS as u64;
    let mut written = 0;
    for number in 0..COLLECTIONS {
        let target = live.database().collection::<Document>(&collection(number));
        let first = number as u64 * each;
        // Collections differ by a document or two: well inside of each, none is another's.
        let places: Vec<u64> = (first + ONE_IN..first + each - ONE_IN)
            .step_by(usize::try_from(ONE_IN)?)
            .collect();
        let ids = |offset: u64| -> Vec<String> { places.iter().map(|place| id(place + offset)).collect() };
        target.delete_many(doc! { "_id": { "$in": ids(0) } }).run()?;
        target
            .update_many(
                doc! { "_id": { "$in": ids(1) } },
                doc! { "$set": { "city": "elsewhere" } },
            )
            .run()?;
        let new = ids(0)
            .into_iter()
            .map(|id| doc! { "_id": format!("new {id}"), "city": "garden" });
        target.insert_many(new).run()?;
        written += places.len() as u64;
    }
    Ok(written)
}
