//! When a plan counts as approved.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Schema of a recorded request.
pub const REQUEST_SCHEMA: &str = "approval-request/1";

/// What was put before the approvers: recorded before the first of them is asked, and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    pub schema: String,
    pub environment: String,
    /// The workflow run, where GitHub asks the approvers.
    pub run: u64,
    pub plan_sha256: String,
    pub requested_at: DateTime<Utc>,
    pub requested_by: String,
}

/// What the configuration demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Distinct people other than the authors.
    pub required: u32,
    pub max_age: TimeDelta,
}

/// One person's review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    pub who: String,
    pub approves: bool,
    /// The plan it is bound to.
    pub plan_sha256: String,
    /// From when on it counts as given.
    pub at: DateTime<Utc>,
}

/// Why a plan is not approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    Rejected {
        by: String,
    },
    TooFew {
        counted: Vec<String>,
        required: u32,
        passed_over: Vec<String>,
    },
}

/// Names of one person each: logins and addresses that the approvers' file has in one line, or with one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct People {
    known: Vec<BTreeSet<String>>,
}

/// The domain of the addresses that GitHub makes of logins: `login@…` or `number+login@…` (docs.github.com, "Setting your
/// commit email address").
const NOREPLY: &str = "users.noreply.github.com";

impl People {
    /// These names belong to one person, and so do those of every person who has one of them.
    pub fn add<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        let mut person: BTreeSet<String> = names.into_iter().map(str::to_lowercase).collect();
        self.known.retain(|other| {
            let is_same = !other.is_disjoint(&person);
            if is_same {
                person.extend(other.iter().cloned());
            }
            !is_same
        });
        self.known.push(person);
    }

    /// How many people are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether two names may be those of one person. Logins and addresses are compared as GitHub and mail do, without regard
    /// to case. A login is taken for the address that begins with it: who cannot be told from an author does not approve.
    pub fn same(&self, one: &str, other: &str) -> bool {
        let (one, other) = (self.names(one), self.names(other));
        one.iter().any(|a| other.iter().any(|b| alike(a, b)))
    }

    fn names(&self, name: &str) -> BTreeSet<String> {
        let name = name.to_lowercase();
        let person = self.known.iter().find(|person| person.contains(&name));
        person.cloned().unwrap_or_else(|| BTreeSet::from([name]))
    }
}

/// Whether two names in lower case may be those of one person.
fn alike(one: &str, other: &str) -> bool {
    let (one, other) = (login_of_noreply(one), login_of_noreply(other));
    match (one.split_once('@'), other.split_once('@')) {
        (None, Some((local, _))) => one == local.split('+').next().unwrap_or(local),
        (Some((local, _)), None) => other == local.split('+').next().unwrap_or(local),
        _ => one == other,
    }
}

/// The login in an address that GitHub made; any other name as it is.
fn login_of_noreply(name: &str) -> &str {
    match name.split_once('@') {
        Some((local, NOREPLY)) => local.split_once('+').map_or(local, |(_, login)| login),
        _ => name,
    }
}

/// The distinct people who approved this plan in time, none of whom is an author.
pub fn judge(
    rules: &Rules,
    people: &People,
    plan_sha256: &str,
    authors: &[&str],
    reviews: &[Review],
    now: DateTime<Utc>,
) -> Result<Vec<String>, Refusal> {
    let mut counted: BTreeSet<String> = BTreeSet::new();
    let mut passed_over = Vec::new();
    for review in reviews {
        let who = &review.who;
        let age = now - review.at;
        let same = |other: &str| people.same(who, other);
        if review.plan_sha256 != plan_sha256 {
            passed_over.push(format!("{who} approved another plan"));
        } else if !review.approves {
            return Err(Refusal::Rejected { by: who.clone() });
        } else if authors.iter().any(|author| same(author)) {
            passed_over.push(format!("{who} is the author"));
        } else if age > rules.max_age {
            passed_over.push(format!(
                "the approval of {who} is older than {} h",
                rules.max_age.num_hours()
            ));
        } else if counted.iter().any(|other| same(other)) {
            passed_over.push(format!("{who} counts once"));
        } else {
            counted.insert(who.to_lowercase());
        }
    }
    if counted.len() >= rules.required as usize {
        return Ok(counted.into_iter().collect());
    }
    Err(Refusal::TooFew {
        counted: counted.into_iter().collect(),
        required: rules.required,
        passed_over,
    })
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rejected { by } => write!(f, "{by} rejected the plan"),
            Self::TooFew {
                counted,
                required,
                passed_over,
            } => {
                write!(f, "{} of {required} approvals count", counted.len())?;
                if !counted.is_empty() {
                    write!(f, " ({})", counted.join(", "))?;
                }
                passed_over.iter().try_for_each(|why| write!(f, "; {why}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "aa";

    fn review(who: &str) -> Review {
        Review {
            who: who.into(),
            approves: true,
            plan_sha256: PLAN.into(),
            at: DateTime::UNIX_EPOCH,
        }
    }

    fn said(reviews: &[Review], after: TimeDelta) -> String {
        let rules = Rules {
            required: 2,
            max_age: TimeDelta::hours(24),
        };
        match judge(
            &rules,
            &People::default(),
            PLAN,
            &["dev", "Runner"],
            reviews,
            DateTime::UNIX_EPOCH + after,
        ) {
            Ok(people) => people.join("+"),
            Err(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn two_distinct_people_other_than_the_authors_approve_this_plan_within_a_day() {
        let (ann, bob) = (review("ann"), review("bob"));
        let other_plan = Review {
            plan_sha256: "bb".into(),
            ..bob.clone()
        };
        let rejected = Review {
            approves: false,
            ..bob.clone()
        };
        let day = TimeDelta::hours(24);
        let cases: &[(&[Review], TimeDelta, &str)] = &[
            (&[ann.clone(), bob.clone()], day, "ann+bob"),
            (&[], day, "0 of 2 approvals count"),
            (std::slice::from_ref(&ann), day, "1 of 2 approvals count (ann)"),
            (
                &[ann.clone(), review("DEV")],
                day,
                "1 of 2 approvals count (ann); DEV is the author",
            ),
            (
                &[ann.clone(), review("runner")],
                day,
                "1 of 2 approvals count (ann); runner is the author",
            ),
            (
                &[ann.clone(), review("Ann")],
                day,
                "1 of 2 approvals count (ann); Ann counts once",
            ),
            (
                &[ann.clone(), other_plan],
                day,
                "1 of 2 approvals count (ann); bob approved another plan",
            ),
            (
                &[ann.clone(), bob.clone(), rejected],
                day,
                "bob rejected the plan",
            ),
            (
                &[ann.clone(), bob],
                day + TimeDelta::seconds(1),
                "0 of 2 approvals count; the approval of ann is older than 24 h; the approval of bob is older than 24 h",
            ),
        ];
        for (reviews, after, expected) in cases {
            assert_eq!(said(reviews, *after), *expected);
        }
    }

    #[test]
    fn one_person_is_known_by_logins_addresses_and_keys() {
        let mut people = People::default();
        people.add(["Ann@example.com", "ann@work.example", "annie"]);
        people.add(["key-of-bob", "bob@example.com"]);
        people.add(["key-of-bob", "robert@example.com"]);
        assert_eq!(people.len(), 2);
        for (one, other) in [
            ("ANN@EXAMPLE.COM", "ann@work.example"),
            ("Annie", "ann@example.com"),
            ("12345+Annie@users.noreply.github.com", "ann@work.example"),
            ("bob@example.com", "Robert@example.com"),
            ("cleo", "Cleo@example.com"),
            ("cleo@users.noreply.github.com", "CLEO"),
            ("cleo", "cleo+work@example.com"),
        ] {
            assert!(
                people.same(one, other) && people.same(other, one),
                "{one} {other}"
            );
        }
        for (one, other) in [
            ("ann@example.com", "bob@example.com"),
            ("cleo@one.example", "cleo@two.example"),
            ("cleo", "cleopatra@example.com"),
            (
                "1+cleo@users.noreply.github.com",
                "2+dan@users.noreply.github.com",
            ),
        ] {
            assert!(
                !people.same(one, other) && !people.same(other, one),
                "{one} {other}"
            );
        }
    }
}
