//! `rehearse --practise`: the faulty release is live, and a person takes it back as the guide says. The test environment
//! stays until Ctrl-C.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use xtask::exec::interrupted;
use xtask::report::{self, Format};

use crate::scenarios::Setting;
use crate::scenarios::release_and_rollback::{Faulty, release_a_faulty_one, take_time};
use crate::test_env::TestEnv;

/// Nobody practises longer; a forgotten one ends.
const LIMIT: Duration = Duration::from_hours(8);
const POLL: Duration = Duration::from_millis(200);

/// What the person needs to begin.
#[derive(Serialize)]
struct Practice {
    /// The release to go back to.
    first_release: String,
    bad_release: String,
    fault_found: Vec<String>,
    /// To be read by each terminal that shall be one of the team's.
    shell: PathBuf,
}

impl Practice {
    fn text(&self) -> String {
        format!(
            "\n{} is live, and faulty ({}).\nIt is yours. In another terminal:\n\n  . {}\n  cargo xtask releases\n\n\
             Roll back to {} by section 3 of\ndocs/PRODUCTION-ROLLBACK-GUIDE.md. Ctrl-C here ends it all.\n",
            self.bad_release,
            self.fault_found.join(", "),
            self.shell.display(),
            self.first_release,
        )
    }
}

/// Releases a faulty version, says how to get in, and waits.
pub fn practise(setting: Setting, format: Format, env: &TestEnv) -> Result<()> {
    let Faulty {
        first_release,
        bad_release,
        fault_found,
        ..
    } = release_a_faulty_one(setting, env)?;
    take_time(setting, env)?;
    let practice = Practice {
        first_release,
        bad_release,
        fault_found,
        shell: env.write_shell()?,
    };
    report::emit(format, "practice/1", &practice, || practice.text())?;
    let _of_the_person = report::question();
    let began = Instant::now();
    while !interrupted() && began.elapsed() < LIMIT {
        std::thread::sleep(POLL);
    }
    Ok(())
}
