//! A draft beside the active version, as a drawing: what is known of the reward of each arm, and how
//! its weight would change.

use maud::{Markup, html};

use super::weights::{evidence, of_params};
use crate::http::page::text::{at, figure, measured, shown};
use f0_learning_core::document::Policy;

const WIDTH: f64 = 760.0;
const ROW: f64 = 34.0;
const TOP: f64 = 30.0;
/// The rewards are drawn between these, and the weights between those below.
const REWARD: (f64, f64) = (130.0, 430.0);
const WEIGHT: (f64, f64) = (480.0, 740.0);
/// With more arms, the table alone shows them.
const MAX_ARMS: usize = 24;

/// The drawing; nothing without evidence.
pub fn draw(draft: &Policy, active: Option<&Policy>) -> Markup {
    let (Some(evidence), Some(active)) = (evidence(draft), active) else { return html! {} };
    let (before, after) = (of_params(&active.params), of_params(&draft.params));
    if after.is_empty() || after.len() > MAX_ARMS {
        return html! {};
    }
    let known = |arm: &str| evidence.arms.iter().find(|it| it.arm == arm).and_then(|it| it.reward);
    let bounds = || after.keys().filter_map(|arm| known(arm));
    let low = (bounds().map(|it| it.low).fold(1.0, f64::min) * 20.0).floor() / 20.0;
    let high = (bounds().map(|it| it.high).fold(0.0, f64::max) * 20.0).ceil() / 20.0;
    let (low, high) = if low < high { (low.max(0.0), high.min(1.0)) } else { (0.0, 1.0) };
    let reward = |value: f64| {
        REWARD.0 + (REWARD.1 - REWARD.0) * ((value - low) / (high - low)).clamp(0.0, 1.0)
    };
    let weight = |value: f64| WEIGHT.0 + (WEIGHT.1 - WEIGHT.0) * value.clamp(0.0, 1.0);
    let rows = u8::try_from(after.len()).map_or(0.0, f64::from);
    let bottom = TOP + rows * ROW;
    let title = format!("picture-{}", draft.version);
    html! {
        div.scroll tabindex="0" { svg.chart.picture viewBox={ "0 0 " (WIDTH) " " (bottom + 24.0) } role="img" aria-labelledby=(title) {
            title id=(title) { "Mean reward of each arm with its interval, and its weight in " (active.version) " and in " (draft.version) }
            text x=(REWARD.0) y="16" { "Mean reward, with its interval" }
            text x=(WEIGHT.0) y="16" { "Weight, " (active.version) " → " (draft.version) }
            @for value in [low, f64::midpoint(low, high), high] {
                @let x = at(reward(value));
                line.grid x1=(x) x2=(x) y1=(TOP - 4.0) y2=(at(bottom)) {}
                text x=(x) y=(at(bottom + 18.0)) text-anchor="middle" { (format!("{value:.2}")) }
            }
            @for value in [0.0, 0.5, 1.0] {
                @let x = at(weight(value));
                line.grid x1=(x) x2=(x) y1=(TOP - 4.0) y2=(at(bottom)) {}
                text x=(x) y=(at(bottom + 18.0)) text-anchor="middle" { (format!("{value:.1}")) }
            }
            @for (index, (arm, to)) in after.iter().enumerate() {
                @let y = TOP + ROW * (u8::try_from(index).map_or(0.0, f64::from) + 0.5);
                @let from = before.get(arm).copied().unwrap_or_default();
                g class={ "c" (index % 8) } {
                    text.arm x=(REWARD.0 - 10.0) y=(at(y + 4.0)) text-anchor="end" { (short(arm)) }
                    @match known(arm) {
                        Some(it) => {
                            title { (shown(arm)) ": mean reward " (measured(it, 3)) ", weight " (figure(from)) " → " (figure(*to)) }
                            line.interval x1=(at(reward(it.low))) x2=(at(reward(it.high))) y1=(at(y)) y2=(at(y)) {}
                            circle cx=(at(reward(it.estimate))) cy=(at(y)) r="4.5" {}
                        }
                        None => {
                            title { (shown(arm)) ": not observed, weight " (figure(from)) " → " (figure(*to)) }
                            text x=(at(REWARD.0 + 8.0)) y=(at(y + 4.0)) { "not observed" }
                        }
                    }
                    line.move x1=(at(weight(from))) x2=(at(weight(*to))) y1=(at(y)) y2=(at(y)) {}
                    circle.from cx=(at(weight(from))) cy=(at(y)) r="4" {}
                    circle cx=(at(weight(*to))) cy=(at(y)) r="5" {}
                }
            }
        } }
    }
}

/// The name of an arm as far as there is room for it.
fn short(arm: &str) -> String {
    let text = shown(arm);
    match text.char_indices().nth(15) {
        Some((end, _)) if text.chars().count() > 16 => format!("{}…", &text[..end]),
        _ => text,
    }
}
