//! The word that was probably meant.

/// Words longer than this are not compared: nobody's typing error is that long.
const LONGEST: usize = 64;

/// The candidate that differs from `word` by the fewest typing errors, if these are few enough for its length.
///
/// A typing error is a letter too many, missing, wrong, or swapped with its neighbour; small and capital letters are
/// the same. Of equals the first wins.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.to_lowercase().chars().collect();
        if letters.len() > LONGEST {
            continue;
        }
        let errors = typing_errors(&word, &letters);
        let few = errors <= word.len().max(letters.len()).div_ceil(3);
        if few && best.is_none_or(|(least, _)| errors < least) {
            best = Some((errors, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The optimal string alignment distance of two words.
fn typing_errors(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut row = vec![i; right.len() + 1];
        for j in 1..=right.len() {
            let wrong = usize::from(left[i - 1] != right[j - 1]);
            row[j] = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + wrong);
            let swapped =
                i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
            if swapped {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] = ["restart", "stop", "start_window", "command"];

    #[test]
    fn a_typing_error_finds_its_word() {
        for (word, meant) in [
            ("restrt", "restart"),
            ("RESTART", "restart"),
            ("sotp", "stop"),
            ("startwindow", "start_window"),
            ("cmmand", "command"),
        ] {
            assert_eq!(nearest(word, KEYS), Some(meant), "{word}");
        }
    }

    #[test]
    fn capital_letters_are_found_too() {
        assert_eq!(
            nearest("REGROW_PORT_BD", ["REGROW_PORT_DB"]),
            Some("REGROW_PORT_DB")
        );
    }

    #[test]
    fn a_word_like_no_other_finds_nothing() {
        for word in ["", "zzz", "colour", "x".repeat(1000).as_str()] {
            assert_eq!(nearest(word, KEYS), None, "{word}");
        }
    }

    #[test]
    fn a_swap_of_neighbours_is_one_error() {
        let letters = |word: &str| word.chars().collect::<Vec<_>>();
        assert_eq!(typing_errors(&letters("sotp"), &letters("stop")), 1);
        assert_eq!(typing_errors(&letters(""), &letters("stop")), 4);
        assert_eq!(typing_errors(&letters("stop"), &letters("stop")), 0);
    }
}
