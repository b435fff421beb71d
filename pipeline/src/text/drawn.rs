//! What characters are drawn like.

/// A letter drawn with strokes (`f|_|ck`, `fu(|<`) at the start of `rest`, and its length in bytes. It must stand in a
/// word: behind a letter, or before one; brackets, which also come in pairs of their own, between two.
pub(super) fn strokes(rest: &str, behind: bool) -> Option<(char, usize)> {
    const STROKES: [(&str, char); 17] = [
        ("|\\/|", 'm'),
        ("\\/\\/", 'w'),
        ("|_|", 'u'),
        ("(_)", 'u'),
        ("|\\|", 'n'),
        ("|-|", 'h'),
        ("/-\\", 'a'),
        ("/\\", 'a'),
        ("\\/", 'v'),
        ("|<", 'k'),
        ("|)", 'd'),
        ("|3", 'b'),
        ("|=", 'f'),
        ("()", 'o'),
        ("[]", 'o'),
        ("><", 'x'),
        ("|_", 'l'),
    ];
    let (drawn, letter) = STROKES.iter().find(|(drawn, _)| rest.starts_with(drawn))?;
    let next = rest.as_bytes().get(drawn.len());
    let before =
        next.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'|' | b'(' | b'$' | b'@'));
    let paired = matches!(letter, 'o' | 'x');
    (if paired { behind && before } else { behind || before }).then_some((*letter, drawn.len()))
}

/// The letter that `c` shows when the page is turned round.
pub(super) fn upside_down(c: char) -> Option<char> {
    Some(match c {
        'ɐ' => 'a',
        'ɔ' => 'c',
        'ǝ' => 'e',
        'ɟ' => 'f',
        'ƃ' | 'ᵷ' => 'g',
        'ɥ' => 'h',
        'ᴉ' => 'i',
        'ɾ' => 'j',
        'ʞ' => 'k',
        'ꞁ' => 'l',
        'ɯ' => 'm',
        'ɹ' => 'r',
        'ʇ' => 't',
        'ʌ' => 'v',
        'ʍ' => 'w',
        'ʎ' => 'y',
        _ => return None,
    })
}

/// The Latin letters that `c` is drawn like where NFKD does not say so: Cyrillic, Greek, Armenian, Cherokee and Lisu
/// letters, small capitals, barred letters, squared letters. Facts from Unicode TR 39 (confusables) and the
/// code charts. Russian or Greek terms are folded by the same table, so they still match themselves.
pub(super) fn look_alike(c: char) -> Option<&'static str> {
    const SQUARED: &str = "abcdefghijklmnopqrstuvwxyz";
    let squared = |base: u32| {
        let i = (c as u32).checked_sub(base)? as usize;
        SQUARED.get(i..i + 1)
    };
    Some(match c {
        'а' | 'А' | 'α' | 'Λ' | 'Α' | 'ɑ' | 'ᴀ' | 'Ꭺ' | 'ꓮ' | '∀' | 'ª' => "a",
        'в' | 'В' | 'β' | 'Β' | 'ʙ' | 'Ь' | 'ь' | 'Ᏼ' | 'ꓐ' | 'ƅ' => "b",
        'с' | 'С' | 'ҫ' | 'ϲ' | 'ᴄ' | 'Ꮯ' | 'ꓚ' | 'ƈ' | '©' => "c",
        'ԁ' | 'ᴅ' | 'Ꭰ' | 'ꓓ' | 'đ' | 'Đ' | 'ð' | 'Ð' | 'ɗ' | 'ɖ' | '∂' => "d",
        'е' | 'Е' | 'э' | 'Σ' | 'ξ' | 'ε' | 'Ε' | 'ё' | 'є' | 'ᴇ' | 'Ꭼ' | 'ꓰ' | 'ɛ' | 'ə' | 'ɇ'
        | '∃' => "e",
        'ƒ' | 'ғ' | 'Ғ' | 'ꜰ' | 'ꓝ' | 'ϝ' | 'ſ' => "f",
        'ɡ' | 'ɢ' | 'ց' | 'Ꮐ' | 'ꓖ' | 'ǥ' | 'ɠ' => "g",
        'һ' | 'Н' | 'н' | 'Η' | 'ʜ' | 'հ' | 'ħ' | 'Ħ' | 'Ꮋ' | 'ꓧ' | 'ɦ' => "h",
        'і' | 'І' | 'ι' | 'Ι' | 'ı' | 'ɪ' | 'ɨ' | 'ⅰ' | 'ӏ' | 'Ӏ' | '¡' | 'Ꭵ' | 'ꓲ' => {
            "i"
        }
        'ј' | 'Ј' | 'ϳ' | 'ᴊ' | 'Ꭻ' | 'ꓙ' | 'ʝ' | 'ɉ' => "j",
        'к' | 'К' | 'қ' | 'Қ' | 'ҝ' | 'ӄ' | 'κ' | 'Κ' | 'ᴋ' | 'Ꮶ' | 'ꓗ' | 'ƙ' => "k",
        'ʟ' | 'ł' | 'Ł' | 'ℓ' | 'ɫ' | 'Ꮮ' | 'ꓡ' | 'ƚ' => "l",
        'м' | 'М' | 'Μ' | 'ᴍ' | 'Ꮇ' | 'ꓟ' | 'ɱ' => "m",
        'η' | 'Ν' | 'и' | 'И' | 'π' | 'ɴ' | 'п' | 'ո' | 'ռ' | 'ꓠ' | 'ŋ' | 'ɲ' | 'ɳ' => {
            "n"
        }
        'о' | 'О' | 'ο' | 'Ο' | 'σ' | 'ᴏ' | 'օ' | 'ø' | 'Ø' | 'ɵ' | 'ꓳ' | 'θ' | '°' => {
            "o"
        }
        'р' | 'Р' | 'ρ' | 'Ρ' | 'ᴘ' | 'Ꮲ' | 'ꓑ' | 'þ' | 'ƥ' => "p",
        'ԛ' | 'զ' | 'գ' | 'ɋ' => "q",
        'г' | 'ʀ' | 'Ꮢ' | 'ꓣ' | 'ɍ' | 'я' | 'Я' | '®' => "r",
        'ѕ' | 'Ѕ' | 'ꜱ' | 'Ꮪ' | 'ꓢ' | 'ʂ' | '§' => "s",
        'т' | 'Т' | 'ҭ' | 'τ' | 'Τ' | 'ᴛ' | 'Ꭲ' | 'ꓔ' | 'ŧ' | 'Ŧ' | 'ƭ' | '†' => {
            "t"
        }
        'υ' | 'ᴜ' | 'ц' | 'Ц' | 'ս' | 'ʋ' | 'µ' | 'μ' | 'ꓴ' => "u",
        'ѵ' | 'ν' | 'ᴠ' | 'Ꮩ' | 'ꓦ' => "v",
        'ԝ' | 'ω' | 'ш' | 'щ' | 'ᴡ' | 'Ꮃ' | 'ꓪ' | 'ѡ' => "w",
        'х' | 'Х' | 'ҳ' | 'χ' | 'Χ' | '×' | 'ꓫ' => "x",
        'у' | 'У' | 'γ' | 'Υ' | 'ү' | 'Ү' | 'ʏ' | 'ꓬ' | 'ɏ' | '¥' => "y",
        'Ζ' | 'ᴢ' | 'Ꮓ' | 'ꓜ' | 'ƶ' | 'ʐ' => "z",
        'ß' | 'ẞ' => "ss",
        'æ' | 'Æ' => "ae",
        'œ' | 'Œ' => "oe",
        'з' | 'З' => "3",
        '\u{2039}' => "<",
        '\u{249c}'..='\u{24b5}' => return squared(0x249c),
        '\u{1f110}'..='\u{1f129}' => return squared(0x1f110),
        '\u{1f1e6}'..='\u{1f1ff}' => return squared(0x1f1e6),
        '\u{1f130}'..='\u{1f149}' => return squared(0x1f130),
        '\u{1f150}'..='\u{1f169}' => return squared(0x1f150),
        '\u{1f170}'..='\u{1f189}' => return squared(0x1f170),
        _ => return None,
    })
}
