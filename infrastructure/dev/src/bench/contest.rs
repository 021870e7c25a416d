//! Sides that do the same work, run in turns: what each cost, beside the first one.

use anyhow::{Context as _, Result, ensure};

use super::machine::load;
use super::measure::Cost;
use super::report::{Facts, Row};
use xtask::domain::spread::percentile;
use xtask::exec::check_interrupted;
use xtask::report;

/// What all sides work on.
pub(super) struct Contest {
    pub(super) bench: &'static str,
    /// In words: `64 MB in 4 collections`.
    pub(super) data: String,
    /// Multiple of the smallest data; `None` where nothing grows.
    pub(super) scale: Option<u32>,
    pub(super) rounds: u32,
}

/// One run of one side.
pub(super) struct Run {
    pub(super) cost: Cost,
    /// What all sides must agree in, as proof that they did the same work.
    pub(super) outcome: String,
    pub(super) facts: Facts,
}

impl Run {
    pub(super) fn new(cost: Cost, outcome: impl Into<String>) -> Self {
        Self {
            cost,
            outcome: outcome.into(),
            facts: Facts::new(),
        }
    }

    /// With a figure that belongs to this run; its unit is in its name.
    pub(super) fn with(mut self, name: &'static str, value: f64) -> Self {
        self.facts.insert(name, value);
        self
    }
}

/// Somebody who does the work.
pub(super) struct Side<'a> {
    who: &'static str,
    run: Box<dyn Fn() -> Result<Run> + 'a>,
}

impl<'a> Side<'a> {
    pub(super) fn new(who: &'static str, run: impl Fn() -> Result<Run> + 'a) -> Self {
        Self {
            who,
            run: Box::new(run),
        }
    }
}

impl Contest {
    /// Lets the sides work in turns, so that the machine's other work disturbs them alike. The first one is the peer that the
    /// others are compared with.
    pub(super) fn run(&self, sides: &[Side]) -> Result<Vec<Row>> {
        let load_1m = load();
        let mut runs: Vec<Vec<Run>> = sides.iter().map(|_| Vec::new()).collect();
        report::progress(&format!("{}: {}", self.bench, self.data));
        for round in 0..self.rounds {
            for (side, runs) in sides.iter().zip(&mut runs) {
                check_interrupted()?;
                if round == 0 {
                    report::progress(&format!("  {}", side.who));
                }
                let run = (side.run)().with_context(|| format!("{}, {}", self.bench, side.who))?;
                runs.push(run);
            }
        }
        self.same_work(sides, &runs)?;
        let mut rows: Vec<Row> = Vec::new();
        for (side, runs) in sides.iter().zip(runs) {
            let row = self.row(side.who, runs, load_1m)?;
            rows.push(row.beside(rows.first()));
        }
        Ok(rows)
    }

    fn same_work(&self, sides: &[Side], runs: &[Vec<Run>]) -> Result<()> {
        let all = || {
            sides
                .iter()
                .zip(runs)
                .flat_map(|(side, runs)| runs.iter().map(|run| (side.who, run)))
        };
        let Some((first, expected)) = all().next() else {
            return Ok(());
        };
        for (who, run) in all() {
            ensure!(
                run.outcome == expected.outcome,
                "{}: the sides did not do the same work: {first} {}; {who} {}",
                self.bench,
                expected.outcome,
                run.outcome
            );
        }
        Ok(())
    }

    fn row(&self, who: &'static str, runs: Vec<Run>, load_1m: f64) -> Result<Row> {
        let mut elapsed: Vec<f64> = runs.iter().map(|run| run.cost.elapsed_s).collect();
        elapsed.sort_by(f64::total_cmp);
        let count = runs.len();
        let largest = |of: fn(&Cost) -> u64| runs.iter().map(|run| of(&run.cost)).max().unwrap_or(0);
        let (rss_largest_bytes, rss_together_bytes) = (
            largest(|cost| cost.rss_largest_bytes),
            largest(|cost| cost.rss_together_bytes),
        );
        // A mean, because the kernel counts in hundredths of a second.
        let cpu_s = runs.iter().map(|run| run.cost.cpu_s).sum::<f64>() / count as f64;
        let quickest = runs
            .into_iter()
            .min_by(|a, b| a.cost.elapsed_s.total_cmp(&b.cost.elapsed_s))
            .context("there was no round")?;
        Ok(Row {
            bench: self.bench,
            data: self.data.clone(),
            scale: self.scale,
            side: who,
            runs: count,
            elapsed_s: quickest.cost.elapsed_s,
            median_s: percentile(&elapsed, 50).unwrap_or_default(),
            p95_s: percentile(&elapsed, 95).unwrap_or_default(),
            cpu_s,
            rss_largest_bytes,
            rss_together_bytes,
            elapsed_ratio: 1.0,
            cpu_ratio: Some(1.0),
            load_1m,
            outcome: quickest.outcome,
            facts: quickest.facts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contest(rounds: u32) -> Contest {
        Contest {
            bench: "test",
            data: "nothing".into(),
            scale: None,
            rounds,
        }
    }

    fn cost(elapsed_s: f64, cpu_s: f64) -> Cost {
        Cost {
            elapsed_s,
            cpu_s,
            rss_largest_bytes: 1,
            rss_together_bytes: 2,
        }
    }

    #[test]
    fn the_quickest_round_counts_and_is_compared_with_the_first_side() {
        let times = std::cell::RefCell::new(vec![3.0, 1.0, 2.0]);
        let sides = [
            Side::new("peer", || Ok(Run::new(cost(4.0, 8.0), "x"))),
            Side::new("ours", || {
                let elapsed_s = times.borrow_mut().pop().unwrap_or_default();
                Ok(Run::new(cost(elapsed_s, 2.0), "x").with("taken_s", elapsed_s))
            }),
        ];
        let rows = contest(3).run(&sides).unwrap();
        assert_eq!((rows[0].elapsed_ratio, rows[0].cpu_ratio), (1.0, Some(1.0)));
        assert_eq!(
            (rows[1].elapsed_s, rows[1].median_s, rows[1].p95_s),
            (1.0, 2.0, 3.0)
        );
        assert_eq!((rows[1].elapsed_ratio, rows[1].cpu_ratio), (0.25, Some(0.25)));
        assert_eq!(rows[1].facts.get("taken_s"), Some(&1.0));
    }

    #[test]
    fn sides_that_did_other_work_are_not_compared() {
        let sides = [
            Side::new("peer", || Ok(Run::new(cost(1.0, 1.0), "3 changed"))),
            Side::new("ours", || Ok(Run::new(cost(1.0, 1.0), "2 changed"))),
        ];
        let error = contest(1).run(&sides).unwrap_err();
        assert!(
            error.to_string().contains("peer 3 changed; ours 2 changed"),
            "{error}"
        );
    }
}
