//! Colours, ticks and the room that text takes.

use crate::output::Language;
use crate::output::table;

/// ColorBrewer YlGnBu: from little to much; dark is much, in print too.
const SEQUENTIAL: [u32; 9] = [0xff_ffd9, 0xed_f8b1, 0xc7_e9b4, 0x7f_cdbb, 0x41_b6c4, 0x1d_91c0, 0x22_5ea8, 0x25_3494, 0x08_1d58];
/// ColorBrewer PuOr: below and above zero.
const DIVERGING: [u32; 7] = [0xb3_5806, 0xf1_a340, 0xfe_e0b6, 0xf7_f7f7, 0xd8_daeb, 0x99_8ec3, 0x54_2788];
/// Okabe and Ito (2008), without the yellow, which paper swallows; each with a dash of its own.
pub(super) const SERIES: [(&str, &str); 7] = [
    ("#0072b2", "none"),
    ("#d55e00", "7 3"),
    ("#009e73", "2 2"),
    ("#cc79a7", "9 3 2 3"),
    ("#000000", "4 2"),
    ("#56b4e9", "12 4"),
    ("#e69f00", "1 3"),
];

/// From figures to colours: one hue from zero or the least, two where figures lie on both sides of zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shades {
    pub least: f64,
    pub most: f64,
    diverging: bool,
}

impl Shades {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Shades {
        let (least, most) = values.into_iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
        if least > most {
            return Shades { least: 0.0, most: 0.0, diverging: false };
        }
        if least < 0.0 {
            let end = least.abs().max(most.abs());
            return Shades { least: -end, most: end, diverging: true };
        }
        // Figures of counts start at zero unless they are all far from it: half empty must look half empty.
        let least = if least > most * 0.7 { least } else { 0.0 };
        Shades { least, most, diverging: false }
    }

    /// The fill of a figure, and an ink that is read on it.
    pub fn colour(&self, value: f64) -> (String, &'static str) {
        let t = if self.most > self.least { ((value - self.least) / (self.most - self.least)).clamp(0.0, 1.0) } else { 0.5 };
        let rgb = if self.diverging { between(&DIVERGING, t) } else { between(&SEQUENTIAL, t) };
        let luminance = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
        let ink = if luminance > 140.0 { "#1a1a1a" } else { "#ffffff" };
        (format!("#{:02x}{:02x}{:02x}", rgb[0].round() as u8, rgb[1].round() as u8, rgb[2].round() as u8), ink)
    }

    /// Figures along the legend, the least first.
    pub fn steps(&self) -> [f64; 5] {
        [0.0, 0.25, 0.5, 0.75, 1.0].map(|t| self.least + t * (self.most - self.least))
    }
}

fn between(stops: &[u32], t: f64) -> [f64; 3] {
    let at = t * (stops.len() - 1) as f64;
    let (low, rest) = ((at as usize).min(stops.len() - 2), at - (at as usize).min(stops.len() - 2) as f64);
    let part = |stop: u32, shift: u32| f64::from((stop >> shift) & 0xff);
    [16, 8, 0].map(|shift| part(stops[low], shift) * (1.0 - rest) + part(stops[low + 1], shift) * rest)
}

/// Round figures from at or below `least` to at or above `most`, about `count` of them.
pub(super) fn ticks(least: f64, most: f64, count: usize) -> Vec<f64> {
    let span = if most > least { most - least } else { most.abs().max(1.0) };
    let raw = span / count.max(1) as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= raw * 0.999).unwrap_or(raw);
    let (first, last) = ((least / step).floor() as i64, ((least + span).max(most) / step - 1e-9).ceil() as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

/// A figure in few characters, as axes and cells have room for.
pub(super) fn brief(value: f64, language: Language) -> String {
    let (unit, suffix) = match (language, value.abs()) {
        (Language::Chinese, 1e8..) => (1e8, "亿"),
        (Language::Chinese, 1e4..) => (1e4, "万"),
        (Language::English, 1e9..) => (1e9, "bn"),
        (Language::English, 1e6..) => (1e6, "m"),
        (Language::English, 1e4..) => (1e3, "k"),
        _ => (1.0, ""),
    };
    let scaled = value / unit;
    let decimals = match scaled.abs() {
        _ if scaled == scaled.round() => 0,
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let text = format!("{scaled:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    // What rounds to nothing is not less than nothing.
    format!("{}{suffix}", if text == "-0" { "0" } else { text })
}

/// About how wide text is, in px: half its height for Latin, all of it for Chinese.
pub(super) fn width(text: &str, size: f64) -> f64 {
    table::width(text) as f64 * size * 0.56
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_figures() {
        for (least, most, expected) in [
            (0.0, 10.0, vec![0.0, 2.5, 5.0, 7.5, 10.0]),
            (-3.0, 4.0, vec![-4.0, -2.0, 0.0, 2.0, 4.0]),
            (0.0, 0.0, vec![0.0, 0.25, 0.5, 0.75, 1.0]),
        ] {
            assert_eq!(ticks(least, most, 4), expected, "{least} {most}");
        }
    }

    #[test]
    fn figures_are_brief() {
        let english = [0.0, 0.25, 12.34, 1234.0, 12_345.0, 1_500_000.0, -0.001].map(|v| brief(v, Language::English));
        assert_eq!(english, ["0", "0.25", "12.3", "1234", "12.3k", "1.5m", "0"]);
        assert_eq!([12_345.0, 120_000_000.0].map(|v| brief(v, Language::Chinese)), ["1.23万", "1.2亿"]);
    }

    #[test]
    fn zero_is_pale_and_both_sides_differ() {
        let shades = Shades::of([-2.0, 1.0]);
        assert_eq!(shades.colour(0.0).0, "#f7f7f7");
        assert_ne!(shades.colour(-2.0).0, shades.colour(2.0).0);
        assert_eq!(Shades::of([0.0, 4.0]).colour(4.0), ("#081d58".to_owned(), "#ffffff"));
    }
}
