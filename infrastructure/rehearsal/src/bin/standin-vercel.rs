//! Stands in for `vercel`.

fn main() -> std::process::ExitCode {
    rehearsal::standins::vercel::main()
}
