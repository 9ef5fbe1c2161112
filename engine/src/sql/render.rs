//! An error as a person reads it, and as a program does.

use crate::error::{Error, Span};

/// `error` in the look of a compiler's message: code, place, excerpt, caret, help and notes. Ends
/// with a line break. `file` is what stands before the line number (`-` or a path).
pub fn render(error: &Error, script: &str, file: &str, color: bool) -> String {
    let report = error.report();
    let paint = |code: &str, text: &str| if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let mut out = paint("1;31", &format!("error[{}]", report.code.as_str()));
    out.push_str(&paint("1", &format!(": {}", report.message)));
    out.push('\n');
    let bar = |text: &str| paint("1;34", text);
    let mut margin = " ".to_owned();
    if report.span != Span::NONE && !script.is_empty() {
        let place = Place::of(script, report.span);
        let number = place.line.to_string();
        margin = " ".repeat(number.len());
        out.push_str(&format!("{margin}{} {file}:{}:{}\n", bar("-->"), place.line, place.column));
        out.push_str(&format!("{margin} {}\n", bar("|")));
        out.push_str(&format!("{} {}\n", bar(&format!("{number} |")), place.excerpt));
        let carets = paint("1;31", &"^".repeat(place.width));
        out.push_str(&format!("{margin} {} {}{carets}", bar("|"), " ".repeat(place.indent)));
        if let Some(help) = &report.help {
            out.push(' ');
            out.push_str(&paint("1;31", help));
        }
        out.push('\n');
    } else if let Some(help) = &report.help {
        out.push_str(&format!("  {} help: {help}\n", bar("=")));
    }
    for note in &report.notes {
        out.push_str(&format!("{margin} {} note: {note}\n", bar("=")));
    }
    out
}

/// `error` as one JSON object without a line break: `code`, `message`, `file`, `line`, `col`, `len`
/// (characters), `help`, `notes`. Without a place, line, col and len are 0.
pub fn render_json(error: &Error, script: &str, file: &str) -> String {
    let report = error.report();
    let (line, column, length) = if report.span == Span::NONE || script.is_empty() {
        (0, 0, 0)
    } else {
        let place = Place::of(script, report.span);
        (place.line, place.column, place.length)
    };
    let help = report.help.as_ref().map_or("null".to_owned(), |help| quote(help));
    let notes: Vec<String> = report.notes.iter().map(|note| quote(note)).collect();
    format!(
        r#"{{"code":"{}","message":{},"file":{},"line":{line},"col":{column},"len":{length},"help":{help},"notes":[{}]}}"#,
        report.code.as_str(),
        quote(&report.message),
        quote(file),
        notes.join(",")
    )
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// Where a span lies for a reader: line and column from 1 in characters, and in cells of a terminal.
struct Place {
    line: usize,
    column: usize,
    length: usize,
    excerpt: String,
    indent: usize,
    width: usize,
}

/// Most cells of a line shown; a longer one is cut around the caret.
const MAX_EXCERPT: usize = 160;

impl Place {
    fn of(script: &str, span: Span) -> Place {
        let floor = |byte: u32| {
            let byte = (byte as usize).min(script.len());
            (0..=byte).rev().find(|&byte| script.is_char_boundary(byte)).unwrap_or(0)
        };
        let start = floor(span.start);
        let first = script[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let last = script[start..].find('\n').map_or(script.len(), |newline| start + newline);
        let end = floor(span.end).clamp(start, last);
        let line = script[..start].matches('\n').count() + 1;
        let text = script[first..last].trim_end_matches('\r');
        let before = &script[first..start];
        let marked = &script[start..end];
        let (mut excerpt, mut indent, width) = (expand(text), cells(before), cells(marked).max(1));
        if excerpt.chars().count() > MAX_EXCERPT {
            let skipped = before.chars().count().saturating_sub(MAX_EXCERPT / 2);
            let shown: String = text.chars().skip(skipped).take(MAX_EXCERPT).collect();
            let dots = if skipped > 0 { "..." } else { "" };
            indent = dots.len() + cells(&before.chars().skip(skipped).collect::<String>());
            excerpt = format!("{dots}{}...", expand(&shown));
        }
        let width = width.min(MAX_EXCERPT);
        Place {
            line,
            column: before.chars().count() + 1,
            length: marked.chars().count().max(1),
            excerpt,
            indent,
            width,
        }
    }
}

const TAB: &str = "    ";

/// Tabs become spaces, so that the caret stands under its word; other controls become visible.
fn expand(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => out.push_str(TAB),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// Cells that `text` takes on a terminal.
fn cells(text: &str) -> usize {
    let width = |character: char| match character {
        '\t' => TAB.len(),
        wide if is_wide(wide) => 2,
        mark if ('\u{300}'..='\u{36f}').contains(&mark) || mark == '\u{200d}' => 0,
        _ => 1,
    };
    text.chars().map(width).sum()
}

/// The blocks of East Asian wide characters and emoji (Unicode Standard Annex 11, in broad strokes).
fn is_wide(character: char) -> bool {
    matches!(u32::from(character),
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn at(script: &str, word: &str) -> Error {
        let start = script.find(word).unwrap();
        let span = Span { start: start as u32, end: (start + word.len()) as u32 };
        Error::new(Code::UnknownColumn, "column `pricee` not found").at(span)
    }

    #[test]
    fn looks_as_documented() {
        let script = "-- first\n\nSELECT SUM(pricee) FROM bid\n";
        let error = at(script, "pricee").help("did you mean `price`?").note("columns of `bid`: auction, price");
        let expected = "\
error[E0203]: column `pricee` not found
 --> q.sql:3:12
  |
3 | SELECT SUM(pricee) FROM bid
  |            ^^^^^^ did you mean `price`?
  = note: columns of `bid`: auction, price
";
        assert_eq!(render(&error, script, "q.sql", false), expected);
        let json = r#"{"code":"E0203","message":"column `pricee` not found","file":"q.sql","line":3,"col":12,"len":6,"help":"did you mean `price`?","notes":["columns of `bid`: auction, price"]}"#;
        assert_eq!(render_json(&error, script, "q.sql"), json);
    }

    #[test]
    fn carets_stand_under_the_word_behind_tabs_and_wide_characters() {
        let script = "\t'\u{6771}\u{4eac}', pricee";
        let text = render(&at(script, "pricee"), script, "-", false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[3], "1 |     '\u{6771}\u{4eac}', pricee");
        assert_eq!(lines[4], "  |             ^^^^^^");
    }

    #[test]
    fn no_place_no_excerpt() {
        let error = Error::new(Code::Limit, "too much").help("less");
        assert_eq!(render(&error, "SELECT 1", "-", false), "error[E0601]: too much\n  = help: less\n");
        for span in [Span { start: 7, end: 99 }, Span { start: 99, end: 99 }] {
            assert!(render(&Error::new(Code::Syntax, "x").at(span), "SELECT 1", "-", true).contains('^'));
        }
    }
}
