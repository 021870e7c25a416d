//! `cargo xtask completions SHELL`.

use clap::CommandFactory as _;
use clap_complete::Shell;

/// Options of `completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell that will read the script
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script on stdout.
pub fn run(args: &Args) {
    clap_complete::generate(
        args.shell,
        &mut super::Cli::command(),
        "xtask",
        &mut std::io::stdout(),
    );
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        crate::commands::Cli::command().debug_assert();
    }
}
