//! Fingerprints of error messages: what equal errors of different partitions have in common.

/// Replaces what varies.
const HOLE: char = '…';
/// Number of hexadecimal digits from which on a word is an id or an address.
const LONG: usize = 8;

/// A message without what varies: quoted texts, hexadecimal numbers, ids, numbers, dates, times, and the
/// keys of the partition that failed with it.
pub fn fingerprint(message: &str, partition: &str) -> String {
    let keys = partition
        .split('|')
        .map(|part| part.rsplit_once('=').map_or(part, |(_, key)| key));
    let mut text = message.to_owned();
    for word in std::iter::once(partition).chain(keys) {
        text = without(text, word);
    }
    without_varying(&text)
}

/// `text` with a hole in place of `word`, where that is not a part of another word.
fn without(text: String, word: &str) -> String {
    let alone = |at: usize| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        ![before, after]
            .into_iter()
            .flatten()
            .any(char::is_alphanumeric)
    };
    if word.is_empty() || !text.contains(word) {
        return text;
    }
    let mut left = String::with_capacity(text.len());
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find(word).map(|offset| at + offset) {
        at = found + word.len();
        if alone(found) {
            left.push_str(&text[copied..found]);
            left.push(HOLE);
            copied = at;
        }
    }
    left.push_str(&text[copied..]);
    left
}

fn without_varying(text: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut at = 0;
    let mut before: Option<char> = None;
    while let Some(first) = text[at..].chars().next() {
        let in_word = before.is_some_and(is_word);
        let len = varying(&text[at..], in_word);
        if len == 0 {
            left.push(first);
            before = Some(first);
            at += first.len_utf8();
        } else {
            left.push(HOLE);
            at += len;
            before = text[..at].chars().next_back();
        }
    }
    left
}

/// Length of what varies at the start of `text`; 0 if nothing does.
fn varying(text: &str, in_word: bool) -> usize {
    let bytes = text.as_bytes();
    match bytes[0] {
        quote @ (b'"' | b'`') => quoted(bytes, quote),
        b'\'' if !in_word => {
            let len = quoted(bytes, b'\'');
            // It is an apostrophe.
            if len > 0 && word_follows(text, len) {
                0
            } else {
                len
            }
        }
        first if first.is_ascii_hexdigit() => {
            let len = if in_word { 0 } else { hexadecimal(text) };
            if len > 0 { len } else { number(bytes) }
        }
        _ => 0,
    }
}

fn quoted(bytes: &[u8], quote: u8) -> usize {
    let end = bytes[1..].iter().position(|&byte| byte == quote);
    end.map_or(0, |end| end + 2)
}

/// Length of a number like `0x7f3a`, or of an id: long enough, perhaps with dashes, and no part of a word.
fn hexadecimal(text: &str) -> usize {
    let bytes = text.as_bytes();
    if bytes[0] == b'0' && bytes.get(1).is_some_and(|byte| matches!(byte, b'x' | b'X')) {
        let digits = run(&bytes[2..], u8::is_ascii_hexdigit);
        if digits > 0 {
            return 2 + digits;
        }
    }
    let mut len = run(bytes, u8::is_ascii_hexdigit);
    if len < LONG {
        return 0;
    }
    let mut whole = 0;
    loop {
        if !word_follows(text, len) {
            whole = len;
        }
        let more = match bytes.get(len) {
            Some(b'-') => run(&bytes[len + 1..], u8::is_ascii_hexdigit),
            _ => 0,
        };
        if more == 0 {
            return whole;
        }
        len += 1 + more;
    }
}

/// Length of a number, date or time: `17`, `1,000.5`, `2024-01-31T12:30`.
fn number(bytes: &[u8]) -> usize {
    let mut len = run(bytes, u8::is_ascii_digit);
    if len == 0 {
        return 0;
    }
    while let Some(b'.' | b',' | b':' | b'/' | b'T' | b'_' | b'-') = bytes.get(len) {
        let more = run(&bytes[len + 1..], u8::is_ascii_digit);
        if more == 0 {
            break;
        }
        len += 1 + more;
    }
    len
}

fn run(bytes: &[u8], of: impl Fn(&u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| of(byte)).count()
}

fn word_follows(text: &str, at: usize) -> bool {
    text[at..].chars().next().is_some_and(is_word)
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn what_varies_in_a_message_is_folded() {
        for (message, partition, expected) in [
            ("row 17 of 20,000", "us", "row … of …"),
            ("at 2024-01-31T12:30:05 and 1/2", "us", "at … and …"),
            ("no 'a b' in \"c d\" or `e`", "us", "no … in … or …"),
            ("can't open, won't retry", "us", "can't open, won't retry"),
            ("an 'open end", "us", "an 'open end"),
            ("object at 0x7f3a00ff", "us", "object at …"),
            ("run 01a21187-53c6-7074-ade8-d5e4d8a4b2a9", "us", "run …"),
            ("deadbeef-12xyz and deadbeefs", "us", "…-…xyz and deadbeefs"),
            ("20240131T12 is 0x", "us", "… is …x"),
            ("us has no status", "us", "… has no status"),
            (
                "nothing for eu in usage",
                "date=2024-01-31|region=eu",
                "nothing for … in usage",
            ),
            (
                "failed for date=x|region=eu",
                "date=x|region=eu",
                "failed for …",
            ),
            ("no partition", "", "no partition"),
            ("", "us", ""),
            ("größe ä1 für é", "é", "größe ä… für …"),
        ] {
            assert_eq!(fingerprint(message, partition), expected, "{message}");
        }
    }
}
