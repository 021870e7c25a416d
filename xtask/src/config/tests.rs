use super::*;

fn error_of(text: &str) -> String {
    let result: Result<Config> = parse_toml(Path::new("pipeline.toml"), text);
    result.unwrap_err().to_string()
}

#[test]
fn mistakes_are_named_with_line_and_column() {
    let start = "schema = \"pipeline/1\"\ndefault_environment = \"production\"\n";
    let cases = [
        (
            format!("{start}[backup]\nretention_dais = 90\n"),
            "pipeline.toml:4:1: unknown field `retention_dais`",
            "did you mean `retention_days`?",
        ),
        (
            format!("{start}[backup]\nretention_days = \"90\"\n"),
            "pipeline.toml:4:18: invalid type",
            "expected u32",
        ),
        (
            format!("{start}[deploy]\non_unhealthy = \"rolback\"\n"),
            "pipeline.toml:4:16: unknown variant",
            "did you mean `rollback`?",
        ),
        (
            "schema = \"pipeline/2\"\n".to_owned(),
            "pipeline.toml:1:10: unknown variant",
            "pipeline/1",
        ),
        (format!("{start}é = é\n"), "pipeline.toml:3:", ""),
    ];
    for (text, place, hint) in cases {
        let error = error_of(&text);
        assert!(
            error.starts_with(place) && error.contains(hint),
            "{text}\n{error}"
        );
    }
}
