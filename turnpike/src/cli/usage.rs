//! What is said of wrong usage: one line, with the command whose help shows how it is meant.

/// From clap's several paragraphs.
pub(super) fn line(error: &str) -> String {
    let lines = || error.lines().map(str::trim);
    let usage = lines().find_map(|line| line.strip_prefix("Usage: "));
    let told: Vec<&str> = lines()
        .take_while(|line| {
            !line.starts_with("Usage: ") && !line.starts_with("For more information")
        })
        .filter(|line| !line.is_empty())
        .map(|line| line.strip_prefix("error: ").unwrap_or(line))
        .collect();
    let command: Vec<&str> = usage
        .unwrap_or("turnpike")
        .split_whitespace()
        .take_while(|word| word.starts_with(|letter: char| letter.is_ascii_lowercase()))
        .collect();
    format!(
        "turnpike: {}; see `{} --help`",
        told.join(" ").trim_end_matches('.'),
        command.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn paragraphs_become_one_line_that_names_the_command() {
        let missing = "error: the following required arguments were not provided:\n  --org <ORG>\n\n\
                       Usage: turnpike key create --org <ORG>\n\nFor more information, try '--help'.\n";
        let expected = "turnpike: the following required arguments were not provided: --org <ORG>; \
                        see `turnpike key create --help`";
        assert_eq!(line(missing), expected);
        let near = "error: unrecognized subcommand 'gte'\n\n  tip: a similar subcommand exists: 'get'\n\n\
                    Usage: turnpike <COMMAND>\n\nFor more information, try '--help'.\n";
        let expected = "turnpike: unrecognized subcommand 'gte' tip: a similar subcommand exists: 'get'; \
                        see `turnpike --help`";
        assert_eq!(line(near), expected);
    }
}
