//! Stands in for `railway`.

fn main() -> std::process::ExitCode {
    rehearsal::standins::railway::main()
}
