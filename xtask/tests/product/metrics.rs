//! `xtask metrics` over a history of real tags and real ledger events, against figures computed in the simplest way.

mod figures;
