//! Which frames to look at, and which access units the decoder needs for them. Pure.
//!
//! The promise: two looked-at frames that follow each other on the time line are at most `max_gap` apart, or nothing
//! lies between them; the ends of the time line count as looked at. Of all ways to keep it we want a cheap one:
//! key frames alone where they are dense enough; elsewhere frames as early in their group of pictures as the promise
//! allows, for all reference frames before a target have to be decoded and none behind it.

use super::scan::Unit;

/// What is asked of a plan. Times in nanoseconds on the time line.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    /// Start of the stretch to cover.
    pub start: i64,
    /// End of the stretch to cover.
    pub end: i64,
    /// Largest distance between looked-at frames.
    pub max_gap: i64,
    /// Most frames.
    pub max_frames: usize,
}

/// The outcome: for each unit whether the decoder gets it, and the units to look at in order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For each unit in decode order whether it is decoded.
    pub feed: Vec<bool>,
    /// Indexes of the units to look at, in order of time.
    pub targets: Vec<usize>,
}

/// The shown frames in order of time, with what can be done with each.
pub struct Line<'a> {
    units: &'a [Unit],
    /// Indexes of shown units in order of time.
    order: Vec<usize>,
    /// For each unit: the key unit that starts its group; `None` where it cannot be decoded.
    group: Vec<Option<usize>>,
}

impl<'a> Line<'a> {
    /// Sorts the units.
    pub fn new(units: &'a [Unit]) -> Self {
        let mut order: Vec<usize> = (0..units.len()).filter(|i| !units[*i].hidden).collect();
        order.sort_by_key(|i| (units[*i].time, *i));
        Self { units, order, group: groups(units) }
    }

    /// Chooses frames for the aim. Where more than `max_frames` would be needed the gap grows until they suffice.
    pub fn plan(&self, aim: Aim) -> Plan {
        let mut gap = aim.max_gap.max(0);
        let mut places = self.choose(aim, gap);
        while places.len() > aim.max_frames.max(1) {
            let even = (aim.end - aim.start) / aim.max_frames.max(1) as i64;
            gap = even.max(gap + gap / 8 + 1_000_000);
            places = self.choose(aim, gap);
        }
        let targets: Vec<usize> = places.into_iter().map(|p| self.order[p]).collect();
        Plan { feed: self.feed(&targets), targets }
    }

    fn time(&self, place: usize) -> i64 {
        self.units[self.order[place]].time
    }

    fn unit(&self, place: usize) -> &Unit {
        &self.units[self.order[place]]
    }

    fn decodable(&self, place: usize) -> bool {
        self.group[self.order[place]].is_some()
    }

    /// Places of the frames that are on screen at some time within the aim.
    fn within(&self, aim: Aim) -> (usize, usize) {
        let first = self.order.partition_point(|i| self.units[*i].time <= aim.start);
        let behind = self.order.partition_point(|i| self.units[*i].time <= aim.end);
        (first.saturating_sub(1).min(behind), behind)
    }

    /// Places in rising order.
    fn choose(&self, aim: Aim, gap: i64) -> Vec<usize> {
        let (first, behind) = self.within(aim);
        let keys: Vec<usize> =
            (first..behind).filter(|p| self.unit(*p).key && self.decodable(*p)).collect();
        let mut chosen = Vec::new();
        // The place and time of the last look; the start counts as looked at.
        let mut last = (first.checked_sub(1), aim.start);
        let mut next = 0;
        while let Some(key) = keys.get(next) {
            if !chosen.is_empty() && aim.end.saturating_sub(last.1) <= gap {
                break;
            }
            // The furthest key frame within the gap, else the next one with frames between.
            let reach = last.1.saturating_add(gap);
            let jump = keys[next..].partition_point(|k| self.time(*k) <= reach);
            let at_start = chosen.is_empty() && *key == first;
            let key = if jump == 0 || at_start { *key } else { keys[next + jump - 1] };
            self.fill(last, (key, self.time(key)), gap, first, &mut chosen);
            chosen.push(key);
            last = (Some(key), self.time(key));
            next += if at_start { 1 } else { jump.max(1) };
        }
        self.fill(last, (behind, aim.end), gap, first, &mut chosen);
        if chosen.is_empty() {
            chosen.extend((first..behind).find(|p| self.decodable(*p)));
        }
        chosen
    }

    /// Adds frames between two looks, from behind: each as early as the gap to the one after it allows, so that the
    /// last is early and as little as possible is decoded.
    fn fill(
        &self,
        from: (Option<usize>, i64),
        to: (usize, i64),
        gap: i64,
        first: usize,
        chosen: &mut Vec<usize>,
    ) {
        let floor = from.0.map_or(first, |p| p + 1);
        let (mut place, mut time) = to;
        let mut found = Vec::new();
        while place > floor && time.saturating_sub(from.1) > gap {
            let earliest = floor
                + self.order[floor..place]
                    .partition_point(|i| self.units[*i].time < time.saturating_sub(gap));
            let mut allowed = (earliest..place).filter(|p| self.decodable(*p));
            let needed = allowed.clone().find(|p| !self.unit(*p).disposable);
            let pick = needed
                .or_else(|| allowed.next())
                .or_else(|| (floor..earliest).rev().find(|p| self.decodable(*p)));
            let Some(pick) = pick else { break };
            found.push(pick);
            (place, time) = (pick, self.time(pick));
        }
        chosen.extend(found.into_iter().rev());
    }

    /// The units that the decoder needs for these targets.
    fn feed(&self, targets: &[usize]) -> Vec<bool> {
        let units = self.units;
        let mut feed: Vec<bool> = units.iter().map(|u| u.header).collect();
        // For each group, by its key: the last target in decode order, and the highest layer of its targets.
        let mut until = std::collections::BTreeMap::<usize, (usize, u8)>::new();
        for target in targets {
            if let Some(key) = self.group[*target] {
                let group = until.entry(key).or_default();
                *group = (group.0.max(*target), group.1.max(units[*target].layer));
            }
            feed[*target] = true;
        }
        for (key, (last, layer)) in until {
            for i in key..=last {
                let wanted = !units[i].disposable && units[i].layer <= layer;
                feed[i] |= wanted && self.group[i] == Some(key);
            }
        }
        feed
    }

    /// Largest gap in nanoseconds between looked-at units, the edges included; frames that follow each other
    /// directly have none, for nothing lies between them. `looked` in order of time.
    pub fn max_gap(&self, looked: &[usize], start: i64, end: i64) -> i64 {
        let (first, behind) = self.within(Aim { start, end, max_gap: 0, max_frames: 0 });
        let mut places = looked.iter().filter_map(|i| {
            let key = (self.units[*i].time, *i);
            self.order.binary_search_by_key(&key, |i| (self.units[*i].time, *i)).ok()
        });
        let mut widest = 0;
        let mut last = (None::<usize>, start);
        loop {
            let (place, time) = places.next().map_or((behind, end), |p| (p, self.time(p)));
            let adjacent = place <= last.0.map_or(first, |p| p + 1);
            if !adjacent {
                widest = widest.max(time - last.1);
            }
            if place >= behind {
                return if behind > first { widest } else { end - start };
            }
            last = (Some(place), time);
        }
    }
}

/// For each unit the key unit that its decoding starts from. Frames that follow an open key frame in the file but come
/// before it in time need the group before as well: they count as not decodable.
fn groups(units: &[Unit]) -> Vec<Option<usize>> {
    let mut group = vec![None; units.len()];
    let mut key = None;
    let mut leading = false;
    for (i, unit) in units.iter().enumerate() {
        if unit.header {
            continue;
        }
        if unit.key {
            key = Some(i);
            leading = !unit.closed;
        } else if let Some(k) = key {
            leading &= unit.time < units[k].time;
        }
        group[i] = if leading && !unit.key { None } else { key };
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// One letter a frame in decode order, 40 ms each: `I` closed key, `C` open key, `P` reference, `b` disposable.
    /// `b` is shown before the unit in front of it, as B frames are.
    fn clip(pattern: &str) -> Vec<Unit> {
        let mut units: Vec<Unit> = Vec::new();
        let letters: Vec<char> = pattern.chars().collect();
        let mut shown = 0;
        for (i, letter) in letters.iter().enumerate() {
            let behind = letters[i + 1..].iter().take_while(|l| **l == 'b').count() as i64;
            let time = if *letter == 'b' { shown } else { shown + behind };
            units.push(Unit {
                time: time * 40 * MS,
                duration: 40 * MS as u64,
                key: matches!(letter, 'I' | 'C'),
                closed: *letter == 'I',
                disposable: *letter == 'b',
                ..Unit::default()
            });
            // An anchor's time is taken once its B frames have been counted.
            if *letter == 'b' {
                shown += 1;
                if letters.get(i + 1) != Some(&'b') {
                    shown += 1;
                }
            } else if behind == 0 {
                shown += 1;
            }
        }
        units
    }

    fn plan(units: &[Unit], gap_ms: i64, max_frames: usize) -> Plan {
        let end = units.iter().map(|u| u.time).max().unwrap_or(0) + 40 * MS;
        Line::new(units).plan(Aim { start: 0, end, max_gap: gap_ms * MS, max_frames })
    }

    fn gap(units: &[Unit], looked: &[usize]) -> i64 {
        let end = units.iter().map(|u| u.time).max().unwrap_or(0) + 40 * MS;
        Line::new(units).max_gap(looked, 0, end) / MS
    }

    #[test]
    fn dense_key_frames_are_enough() {
        let units = clip(&"IPPPPPPPPP".repeat(10));
        let plan = plan(&units, 400, 600);
        assert_eq!(plan.targets, (0..10).map(|i| i * 10).collect::<Vec<_>>());
        assert_eq!(plan.feed.iter().filter(|f| **f).count(), 10);
    }

    #[test]
    fn denser_key_frames_than_needed_are_skipped() {
        let units = clip(&"IPPPPPPPPP".repeat(10));
        let plan = plan(&units, 800, 600);
        assert_eq!(plan.targets, [0, 20, 40, 60, 80]);
        assert_eq!(gap(&units, &plan.targets), 800);
    }

    #[test]
    fn within_a_group_targets_are_as_early_as_the_gap_allows() {
        let units = clip(&"IPPPPPPPPPPPPPP".repeat(2)); // 600 ms a group
        let plan = plan(&units, 400, 600);
        // 600 − 400 = 200 ms is the fifth frame; the last key is at 600, its end at 1200.
        assert_eq!(plan.targets, [0, 5, 15, 20]);
        assert_eq!(plan.feed.iter().filter(|f| **f).count(), 12);
        assert!(gap(&units, &plan.targets) <= 400);
    }

    #[test]
    fn disposable_frames_are_dropped_unless_they_are_looked_at() {
        let units = clip(&format!("I{}", "PbbPbb".repeat(10)));
        let coarse = plan(&units, 500, 600);
        assert!(coarse.targets.iter().all(|t| !units[*t].disposable));
        assert!(coarse.feed.iter().zip(&units).all(|(fed, u)| !(*fed && u.disposable)));
        assert!(gap(&units, &coarse.targets) <= 500);
        let every = plan(&units, 0, 600);
        assert_eq!(every.targets.len(), units.len());
        assert_eq!(gap(&units, &every.targets), 0);
    }

    #[test]
    fn leading_frames_of_an_open_group_are_neither_shown_nor_fed() {
        let units = clip("IPPPPPPPPPCbbPPPPPPP");
        let plan = plan(&units, 0, 600);
        assert!(!plan.feed[11] && !plan.feed[12]);
        assert_eq!(plan.targets.len(), units.len() - 2);
        // two frames of 40 ms are missing before the open key: 120 ms from look to look
        assert_eq!(gap(&units, &plan.targets), 120);
    }

    #[test]
    fn the_frame_budget_widens_the_gap_and_the_gap_says_so() {
        let units = clip(&"I".repeat(1000));
        let plan = plan(&units, 0, 100);
        assert!(plan.targets.len() <= 100 && plan.targets.len() > 50, "{}", plan.targets.len());
        assert!(gap(&units, &plan.targets) >= 400);
    }

    #[test]
    fn frames_further_apart_than_the_gap_leave_nothing_unseen() {
        let units: Vec<Unit> = (0..5)
            .map(|i| Unit { time: i * 5000 * MS, key: true, closed: true, ..Unit::default() })
            .collect();
        let plan = plan(&units, 1000, 600);
        assert_eq!(plan.targets.len(), 5);
        assert_eq!(gap(&units, &plan.targets), 0);
        assert_eq!(gap(&units, &[0, 2, 4]), 10_000);
        assert_eq!(gap(&units, &[1, 2, 3]), 5_000 + 40);
    }

    #[test]
    fn hidden_frames_before_an_edit_are_decoded_but_not_looked_at() {
        let mut units = clip("IPPPPPPPPP");
        for unit in &mut units[..4] {
            unit.hidden = true;
        }
        units.iter_mut().for_each(|u| u.time -= 160 * MS);
        let plan = plan(&units, 1000, 600);
        assert_eq!(plan.targets, [4]);
        assert_eq!(plan.feed, [true, true, true, true, true, false, false, false, false, false]);
    }

    #[test]
    fn nothing_to_decode_gives_an_empty_plan() {
        assert_eq!(plan(&[], 1000, 600).targets, Vec::<usize>::new());
        let no_key: Vec<Unit> = clip("PPP");
        assert_eq!(plan(&no_key, 1000, 600).targets, Vec::<usize>::new());
    }

    #[test]
    fn a_span_covers_the_frame_on_screen_at_its_start() {
        let units = clip(&"IPPPPPPPPP".repeat(4));
        let aim = Aim { start: 500 * MS, end: 700 * MS, max_gap: 80 * MS, max_frames: 600 };
        let plan = Line::new(&units).plan(aim);
        let times: Vec<i64> = plan.targets.iter().map(|t| units[*t].time / MS).collect();
        assert!(times.iter().all(|t| (480..=700).contains(t)), "{times:?}");
        assert!(Line::new(&units).max_gap(&plan.targets, aim.start, aim.end) <= 80 * MS);
    }
}
