//! Flips, deadlines and forecasts compared with evaluating every instant that could count, and a grid in between.

use super::super::{Decision, ForecastScratch, TargetKind, Truth};
use super::random::{DAYS, HEAD, MINUTES, WINDOWS, comparison, populate};
use super::{START, World, rules};
use crate::engine::event::{DAY, EventType, HOUR, MINUTE, Millis, NEVER};
use crate::engine::profile::HeldValue;
use crate::random::Random;

const HORIZON: Millis = 400 * DAY;

/// Instants after `now` at which something may flip by windows and literals, and a grid in between for the rest.
fn instants(world: &World, now: Millis) -> Vec<Millis> {
    let customer = world.customer();
    let row = customer.row();
    let mut moments: Vec<Millis> = customer.orders().iter().map(|order| order.time()).collect();
    moments.extend(customer.refunds().iter().map(|refund| refund.time()));
    moments.extend([row.first_event, row.last_activity, row.cart_until, customer.cart_last()]);
    for event_type in (0..EventType::COUNT as u8).map(EventType) {
        moments.extend(customer.latest(event_type));
        moments.extend(customer.hours_after(event_type, Millis::MIN).map(|(newest, _)| newest));
    }
    if let Some(crate::engine::profile::StoredValue::Time(moment)) = customer.attribute(4) {
        moments.push(moment);
    }
    let far = |moment: &Millis| (START - 1_000 * DAY..START + 1_000 * DAY).contains(moment);
    let mut spans: Vec<Millis> = WINDOWS.iter().map(|(_, window)| *window).collect();
    spans.extend([0, DAY, 7 * DAY, 30 * DAY, 400 * DAY]);
    spans.extend(DAYS.iter().map(|days| (days.parse::<f64>().unwrap() * DAY as f64) as Millis));
    spans.extend(MINUTES.iter().map(|minutes| (minutes.parse::<f64>().unwrap() * MINUTE as f64) as Millis));
    let mut all: Vec<Millis> = (1..=HORIZON / (6 * HOUR)).map(|step| now + step * 6 * HOUR).collect();
    for moment in moments.into_iter().filter(far) {
        all.extend(spans.iter().flat_map(|span| [-1, 0, 1].map(|shift| moment + span + shift)));
    }
    all.retain(|instant| *instant > now && *instant <= now + HORIZON);
    all.sort_unstable();
    all.dedup();
    all
}

/// The first instant in `(after, until]` at which `of` differs from that at `after`, found by halving.
fn first_other<T: PartialEq>(after: Millis, until: Millis, of: impl Fn(Millis) -> T) -> Millis {
    let before = of(after);
    let (mut same, mut other) = (after, until);
    while other - same > 1 {
        let middle = same + (other - same) / 2;
        if of(middle) == before { same = middle } else { other = middle }
    }
    other
}

/// How many random worlds: `SHOAL_ROUNDS` for a long run.
fn rounds() -> usize {
    std::env::var("SHOAL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(150)
}

fn read(world: &World, comparison: u16, now: Millis) -> Truth {
    let truths = world.rules.truths();
    world.rules.read_truths(&[comparison], &world.customer(), now, &truths);
    truths.get(comparison)
}

/// The next change of a comparison's truth by the engine, which may return earlier instants before.
fn engine_flip(world: &World, comparison: u16, now: Millis) -> Millis {
    let before = read(world, comparison, now);
    let truths = world.rules.truths();
    truths.set(comparison, before);
    let mut instant = now;
    for _ in 0..10_000 {
        let next = world.rules.next_flip(&[comparison], &world.customer(), instant, &truths);
        assert!(next > instant, "{}: {next} is not after {instant}", world.rules.text(comparison));
        if next == NEVER || read(world, comparison, next) != before {
            return next;
        }
        instant = next;
    }
    panic!("{}: too many instants", world.rules.text(comparison));
}

#[test]
fn comparisons_flip_when_evaluating_every_instant_says() {
    let mut random = Random::of_test();
    let (mut flipped, mut still) = (0, 0);
    for _ in 0..rounds() {
        let conditions: Vec<_> = (0..12).map(|_| comparison(&mut random)).collect();
        let file = format!("{HEAD}[audience.a]\nwhen = {:?}\n", conditions.join(" OR "));
        let mut world = World::new(rules(&file));
        populate(&mut world, 25, &mut random);
        let now = world.clock + random.pick(&[0, 1, DAY, 31 * DAY]);
        let instants = instants(&world, now);
        for comparison in world.rules.customer_comparisons() {
            let before = read(&world, *comparison, now);
            let expected = instants.iter().position(|instant| read(&world, *comparison, *instant) != before);
            let found = engine_flip(&world, *comparison, now);
            let text = world.rules.text(*comparison);
            match expected {
                None if found > now + HORIZON => still += 1,
                // A grid may miss a truth that soon flips back.
                _ if expected.is_none_or(|index| found < instants[index]) => {
                    assert_ne!(read(&world, *comparison, found), before, "{text}");
                    assert_eq!(read(&world, *comparison, found - 1), before, "{text} had flipped before {found}");
                    flipped += 1;
                }
                None => unreachable!(),
                Some(index) => {
                    let last = if index == 0 { now } else { instants[index - 1] };
                    let exact = first_other(last, instants[index], |instant| read(&world, *comparison, instant));
                    assert_eq!(found, exact, "{text} at {now}");
                    flipped += 1;
                }
            }
        }
    }
    println!("{flipped} flipped, {still} did not");
    assert!(flipped > 400 && still > 100);
}

/// A comparison whose truths last, so that a grid of instants sees them: not one that is true for a single millisecond.
fn lasting(random: &mut Random) -> String {
    loop {
        let text = comparison(random);
        let equal = [" = ", " <> ", " IN "].iter().any(|operator| text.contains(operator));
        let moving = ["gap_days", "/", "*", "COALESCE(", "overdue_ratio"].iter().any(|part| text.contains(part));
        if !(equal && moving) {
            return text;
        }
    }
}

/// A file of three targets that refer to each other, with hysteresis and dwell.
fn random_file(random: &mut Random) -> String {
    let condition = |random: &mut Random| {
        let first = lasting(random);
        match random.below(7) {
            0 => first,
            4 => format!("({first}) = (NOT {})", lasting(random)),
            5 => format!("COALESCE({first}, NOT {}, {})", lasting(random), lasting(random)),
            6 => format!("(NOT {first}) <> COALESCE(NOT {}, NULL)", lasting(random)),
            1 => format!("{first} AND {}", lasting(random)),
            2 => format!("NOT ({first} OR {})", lasting(random)),
            _ => format!("({first}) IS NOT TRUE"),
        }
    };
    let dwell = |random: &mut Random| random.pick(&["0s", "1h", "36h", "20d"]);
    let mut file = String::from(HEAD);
    file += &format!("[audience.b]\nwhen = {:?}\n", condition(random));
    if random.chance(50) {
        file += &format!("exit = {:?}\n", condition(random));
    }
    file += &format!("min_dwell = {{ in = {:?}, out = {:?} }}\n", dwell(random), dwell(random));
    let second = format!("{} OR audience('b')", condition(random));
    file += &format!(
        "[segmentation.c]\nmin_dwell = {:?}\nsegments = [{{ name = \"x\", when = {:?} }}, {{ name = \"y\", when = {second:?} }}, {{ name = \"z\" }}]\n",
        dwell(random),
        condition(random)
    );
    let refers = format!("{} OR segment('c') IN ('x', 'z')", condition(random));
    file + &format!("[audience.a]\nwhen = {refers:?}\nmin_dwell = {:?}\n", dwell(random))
}

/// Every instant after `now` at which a comparison's truth changes.
fn all_flips(world: &World, now: Millis) -> Vec<Millis> {
    let mut flips = Vec::new();
    let truth = |instant: Millis| {
        let truths = world.rules.truths();
        world.rules.read_truths(world.rules.customer_comparisons(), &world.customer(), instant, &truths);
        truths
    };
    let (mut last, mut before) = (now, truth(now));
    for instant in instants(world, now) {
        while truth(instant) != before {
            last = first_other(last, instant, truth);
            before = truth(last);
            flips.push(last);
        }
        last = instant;
    }
    flips
}

/// R9 taken literally: an evaluation of everything at every flip and at the end of every dwell.
fn naive_forecast(
    world: &World,
    target: usize,
    held: &[HeldValue],
    now: Millis,
    flips: &[Millis],
) -> Option<(u16, Millis)> {
    let rules = &world.rules;
    let (mut held, first) = (held.to_vec(), held[target].value);
    let own = own_comparisons(world, target);
    let mut decided: Vec<Decision> = Vec::new();
    let truths = rules.truths();
    let mut evaluate = |instant: Millis, held: &mut Vec<HeldValue>| {
        rules.read_truths(rules.customer_comparisons(), &world.customer(), instant, &truths);
        rules.decide(&truths, &world.customer(), held, instant, true, &mut decided);
        for (held, decided) in held.iter_mut().zip(&decided) {
            if held.value != decided.value {
                *held = HeldValue::new(decided.value, instant, held.value != HeldValue::NULL);
            }
        }
        let waits = decided.iter().map(|decided| decided.waits_until).min().unwrap_or(NEVER);
        (waits, own.iter().map(|index| truths.get(*index)).collect::<Vec<_>>())
    };
    let (mut waits, mut before) = evaluate(now, &mut held);
    let own_dwell = held[target].since + rules.targets[target].dwell(first);
    let own_dwell = if held[target].dwells && own_dwell > now { own_dwell } else { NEVER };
    let (mut instant, mut counted) = (now, 0);
    while counted < 64 {
        let flip = flips.iter().copied().find(|flip| *flip > instant).unwrap_or(NEVER);
        let dwell = if own_dwell > instant { own_dwell } else { NEVER };
        instant = flip.min(waits).min(dwell);
        if instant > now + HORIZON {
            return None;
        }
        let own_truths;
        (waits, own_truths) = evaluate(instant, &mut held);
        if held[target].value != first {
            return Some((held[target].value, instant));
        }
        counted += usize::from(own_truths != before || instant == own_dwell);
        before = own_truths;
    }
    None
}

/// The comparisons in a target's own conditions.
fn own_comparisons(world: &World, target: usize) -> Vec<u16> {
    match &world.rules.targets[target].kind {
        TargetKind::Segmentation { segments, .. } => {
            segments.iter().filter_map(|segment| segment.condition.as_ref()).flat_map(|of| of.comparisons()).collect()
        }
        TargetKind::Audience(audience) => audience
            .when
            .comparisons()
            .into_iter()
            .chain(audience.exit.iter().flat_map(|of| of.comparisons()))
            .collect(),
    }
}

#[test]
fn forecasts_are_what_evaluating_at_every_turn_gives() {
    let mut random = Random::of_test();
    let (mut some, mut none, mut scratch) = (0, 0, ForecastScratch::default());
    for _ in 0..rounds() {
        let file = random_file(&mut random);
        let mut world = World::new(rules(&file));
        populate(&mut world, 20, &mut random);
        let now = world.clock;
        let mut held: Vec<HeldValue> = world.rules.targets.iter().map(|target| target.initial(now)).collect();
        let (truths, mut decided) = (world.rules.truths(), Vec::new());
        world.rules.read_truths(world.rules.customer_comparisons(), &world.customer(), now, &truths);
        world.rules.decide(&truths, &world.customer(), &held, now, true, &mut decided);
        for (held, decided) in held.iter_mut().zip(&decided) {
            *held = HeldValue::new(decided.value, now, random.chance(70));
        }
        let flips = all_flips(&world, now);
        for target in 0..world.rules.targets.len() {
            let expected = naive_forecast(&world, target, &held, now, &flips);
            let found = world.rules.forecast(target, &world.customer(), &held, now, &mut scratch);
            assert_eq!(found, expected, "{file}\n{} at {now}, {held:?}", world.rules.targets[target].name);
            if found.is_some() { some += 1 } else { none += 1 }
        }
    }
    println!("{some} forecasts, {none} without");
    assert!(some > 100 && none > 30, "{some} {none}");
}

/// The values that the rules want for a customer with these values, without regard to dwell.
fn wanted(world: &World, held: &[HeldValue], now: Millis) -> Vec<u16> {
    let (truths, mut decided) = (world.rules.truths(), Vec::new());
    world.rules.read_truths(world.rules.customer_comparisons(), &world.customer(), now, &truths);
    world.rules.decide(&truths, &world.customer(), held, now, true, &mut decided);
    decided.iter().map(|decided: &Decision| decided.value).collect()
}

#[test]
fn no_value_changes_before_the_next_deadline() {
    let mut random = Random::of_test();
    let (mut instants_seen, mut never) = (0, 0);
    for _ in 0..rounds() {
        let mut world = World::new(rules(&random_file(&mut random)));
        populate(&mut world, 25, &mut random);
        let now = world.clock + random.pick(&[0, 1, DAY, 31 * DAY]);
        let initial: Vec<HeldValue> = world.rules.targets.iter().map(|target| target.initial(now)).collect();
        let values = wanted(&world, &initial, now);
        let held: Vec<HeldValue> = values.iter().map(|&value| HeldValue::new(value, now, false)).collect();
        let truths = world.rules.truths();
        world.rules.read_truths(world.rules.customer_comparisons(), &world.customer(), now, &truths);
        let until = world.rules.next_deadline(&world.customer(), now, &truths);
        assert!(until > now);
        never += usize::from(until == NEVER);
        for instant in instants(&world, now).into_iter().take_while(|&instant| instant < until) {
            assert_eq!(wanted(&world, &held, instant), values, "at {instant}, before the deadline {until}");
            instants_seen += 1;
        }
    }
    println!("{instants_seen} instants before deadlines, {never} customers have none");
    assert!(instants_seen > 10_000 && never > 0);
}
