//! Stands in for `ssh`.

fn main() -> std::process::ExitCode {
    rehearsal::standins::ssh::main()
}
