//! Stands in for `gh`.

fn main() -> std::process::ExitCode {
    rehearsal::standins::gh::main()
}
