//! The program; everything is in the library, where tests and benches reach it too.

fn main() -> std::process::ExitCode {
    shoal::cli::run()
}
