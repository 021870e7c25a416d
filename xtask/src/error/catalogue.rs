//! Every error that decides an exit code: its code, its text, the state of the live system, the next command. The guide's
//! table of messages is printed from here, so it cannot say anything else than the program does.
//!
//! An entry is a function of the values that its texts name:
//!
//! ```text
//! swap_stopped(operation, cause) Midway
//!     "the swap stopped: {cause}",
//!     live "some collections are restored, others are not; no data is lost",
//!     next "cargo xtask restore --resume {operation}   (or --undo {operation})";
//! ```

pub mod approval;
pub mod atlas;
pub mod backup;
pub mod configuration;
pub mod database;
pub mod health;
pub mod operation;
pub mod release;
pub mod restore;
pub mod setup;
pub mod storage;
pub mod tools;

use super::ExitKind;

/// Errors of one part of the program.
#[derive(Debug, Clone, Copy)]
pub struct Area {
    pub title: &'static str,
    /// What holds for all of them.
    pub note: &'static str,
    pub entries: &'static [ErrorEntry],
}

/// One error; the texts have `{names}` where the program fills in values.
#[derive(Debug, Clone, Copy)]
pub struct ErrorEntry {
    pub code: &'static str,
    pub exit: ExitKind,
    pub what: &'static str,
    pub live: Option<&'static str>,
    pub next: Option<&'static str>,
}

/// The code as people see it.
pub fn display_code(code: &str) -> String {
    code.replace('_', "-")
}

/// Every part, in the order of the guide.
pub const AREAS: &[Area] = &[
    configuration::AREA,
    release::AREA,
    restore::AREA,
    backup::AREA,
    storage::AREA,
    atlas::AREA,
    database::AREA,
    operation::AREA,
    approval::AREA,
    setup::AREA,
    health::AREA,
    tools::AREA,
];

/// Makes the functions of one part and its [`Area`].
macro_rules! catalogue {
    (
        $title:literal, $note:literal;
        $( $(#[$doc:meta])* $name:ident ( $($value:ident),* $(,)? ) $exit:ident
            $what:literal $(, live $live:literal)? $(, next $next:literal)? ; )*
    ) => {
        $(
            $(#[$doc])*
            #[allow(clippy::too_many_arguments, reason = "one for each value that the texts name")]
            pub fn $name($($value: impl std::fmt::Display),*) -> $crate::error::CliError {
                $crate::error::CliError::of(stringify!($name), $crate::error::ExitKind::$exit, format!($what))
                    $(.live(format!($live)))?
                    $(.next(format!($next)))?
            }
        )*

        /// These errors as data.
        pub const AREA: $crate::error::catalogue::Area = $crate::error::catalogue::Area {
            title: $title,
            note: $note,
            entries: &[ $( $crate::error::catalogue::ErrorEntry {
                code: stringify!($name),
                exit: $crate::error::ExitKind::$exit,
                what: $what,
                live: $crate::error::catalogue::first(&[$($live)?]),
                next: $crate::error::catalogue::first(&[$($next)?]),
            } ),* ],
        };
    };
}
pub(crate) use catalogue;

/// The text where there is one: a macro cannot write `Option` for a part that may be left out.
const fn first(texts: &[&'static str]) -> Option<&'static str> {
    if texts.is_empty() { None } else { Some(texts[0]) }
}
