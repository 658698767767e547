//! Where in a body fuel is paid, and how much.
//!
//! Each operator has a cost. Paying it right before the operator would be exact and slow, so a *site* pays for more: for all
//! operators that are executed whenever the site is, up to the end of the function, across blocks, conditions and whole
//! loops. What is executed only sometimes (an arm of a condition, what follows a branch that may be taken) has sites of its
//! own, unless it is so little ([`SLACK`]) that every way is paid like the longest; what follows the place where the ways
//! meet again is paid by the site before they parted. A loop's beginning is a site that pays for what each turn executes.
//! So the fuel of a way through a function is at least the sum of its operators' costs, and at most [`SLACK`] more for each
//! site on the way.
//!
//! The body is gone through once. What is known at a place ([`State`]) is the site that may pay for it, what it paid for on
//! the way here, and the ways that have parted since and not met yet ([`State::escapes`]). The frames of blocks remember the
//! state before them: where all ways to a block's end have come through the block, they meet there.
//!
//! Where it sits: [`super`] puts the charges into the code.

use wasmparser::Operator;

use super::costs::{self, Length};
use crate::compute::{
    module::LoadError,
    rewrite::{exceptions::broken, function::leaves, not_wasm},
};

/// Most units that a site takes for operators that are not executed: where ways part for shorter than this, one site pays for
/// the longest of them.
pub(super) const SLACK: u64 = 16;
/// Most parted ways that a site remembers one by one; more are taken for one that meets last.
const MAX_ESCAPES: usize = 8;

/// A place where fuel is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Site {
    /// The charge goes before the byte at this place of the binary.
    pub(super) at: usize,
    /// Blocks that are open there.
    pub(super) depth: u32,
    /// Units.
    pub(super) amount: u64,
    pub(super) kind: Kind,
}

/// What is paid at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Beginning of the function.
    Entry,
    /// Beginning of a loop: stops here when there is no fuel left.
    Loop,
    /// Any other place.
    Inside,
    /// For the length on top of the stack; stops here when there is no fuel left.
    Length(Length),
}

/// What is known where control may be.
#[derive(Clone)]
struct State {
    site: usize,
    /// What the operators cost that the site paid for on the cheapest way here, and on the dearest.
    least: u64,
    most: u64,
    /// Frames to whose ends ways have parted since the site, each further out than the one before, and what those ways
    /// had cost: later operators are not executed on them.
    escapes: Vec<(u32, u64)>,
}

struct Frame {
    is_loop: bool,
    /// An `if` whose `else` has not come.
    is_if: bool,
    /// The state before the block; none where control cannot be.
    before: Option<State>,
    /// Whether a branch leads to its end.
    met: bool,
    /// The outermost frame that a branch in it leads to.
    outermost: u32,
    /// The least that the site before it had paid for where control left it for another site.
    left: u64,
    /// The same where a way reached the end.
    least: u64,
}

/// What goes through a body.
pub(super) struct Regions<'c> {
    /// What an operator costs beside itself: the values that it moves, a function that its callers pay for.
    beside: &'c dyn Fn(&Operator<'_>) -> u64,
    /// [`SLACK`], but for tests.
    slack: u64,
    sites: Vec<Site>,
    frames: Vec<Frame>,
    state: Option<State>,
}

/// The sites of a body, by place. The first is its entry; `beside` tells what operators cost beside themselves.
pub(super) fn sites(
    body: &wasmparser::FunctionBody<'_>,
    beside: &dyn Fn(&Operator<'_>) -> u64,
    slack: u64,
) -> Result<Vec<Site>, LoadError> {
    let mut operators = body.get_operators_reader().map_err(not_wasm)?;
    let mut regions = Regions { beside, slack, sites: Vec::new(), frames: Vec::new(), state: None };
    regions.open(operators.original_position(), Kind::Entry);
    regions.enter(false, false);
    while !operators.eof() {
        let at = operators.original_position();
        let operator = operators.read().map_err(not_wasm)?;
        regions.operator(&operator, at, operators.original_position())?;
    }
    Ok(regions.sites)
}

impl Regions<'_> {
    fn operator(&mut self, operator: &Operator<'_>, at: usize, behind: usize) -> Result<(), LoadError> {
        if let Operator::Loop { .. } = operator {
            self.enter(true, false);
            if self.state.is_some() {
                self.open(behind, Kind::Loop);
            }
        }
        self.pay(operator, at);
        match operator {
            Operator::Block { .. } => self.enter(false, false),
            Operator::If { .. } => {
                self.enter(false, true);
                self.part(self.depth());
            }
            Operator::Else => self.otherwise()?,
            Operator::End => self.end()?,
            Operator::Br { relative_depth } => {
                self.branch(*relative_depth)?;
                self.state = None;
            }
            Operator::BrIf { relative_depth } => self.branch(*relative_depth)?,
            Operator::BrTable { targets } => {
                for target in targets.targets() {
                    self.branch(target.map_err(not_wasm)?)?;
                }
                self.branch(targets.default())?;
                self.state = None;
            }
            Operator::Return => {
                self.branch(self.depth())?;
                self.state = None;
            }
            Operator::Unreachable => self.state = None,
            Operator::Try { .. } | Operator::TryTable { .. } | Operator::Throw { .. } | Operator::ThrowRef => {
                return Err(broken("an exception"));
            }
            other if leaves(other) => return Err(LoadError::Unsupported("tail calls or newer branches".to_owned())),
            _ => {}
        }
        Ok(())
    }

    /// Index of the innermost frame.
    fn depth(&self) -> u32 {
        (self.frames.len() as u32).saturating_sub(1)
    }

    fn open(&mut self, at: usize, kind: Kind) {
        if let (Some(state), Some(frame)) = (&self.state, self.frames.last_mut())
            && frame.is_after(state.site)
        {
            frame.left = frame.left.min(state.least);
        }
        self.state = Some(State { site: self.sites.len(), least: 0, most: 0, escapes: Vec::new() });
        self.sites.push(Site { at, depth: self.depth(), amount: 0, kind });
    }

    /// Adds the operator to a site that is executed exactly when it is.
    fn pay(&mut self, operator: &Operator<'_>, at: usize) {
        let cost = u64::from(costs::of(operator)).saturating_add((self.beside)(operator));
        if self.state.as_ref().is_some_and(|state| !state.takes(cost, self.slack)) {
            self.open(at, Kind::Inside);
        }
        let Some(state) = &mut self.state else { return };
        state.least = state.least.saturating_add(cost);
        state.most = state.most.saturating_add(cost);
        if let Some(site) = self.sites.get_mut(state.site) {
            site.amount = site.amount.max(state.most);
        }
        if let Some(length) = costs::length(operator) {
            let depth = self.depth();
            self.sites.push(Site { at, depth, amount: 0, kind: Kind::Length(length) });
        }
    }

    fn enter(&mut self, is_loop: bool, is_if: bool) {
        let before = self.state.clone();
        self.frames.push(Frame {
            is_loop,
            is_if,
            before,
            met: false,
            outermost: u32::MAX,
            left: u64::MAX,
            least: u64::MAX,
        });
    }

    /// A way parts from here to the end of frame `target`.
    fn part(&mut self, target: u32) {
        if let Some(state) = &mut self.state {
            state.part(target, state.least);
        }
    }

    fn branch(&mut self, label: u32) -> Result<(), LoadError> {
        let Some(state) = &self.state else { return Ok(()) };
        let missing = || broken("a block that does not exist");
        let target = self.depth().checked_sub(label).ok_or_else(missing)?;
        let met = self.frames.get_mut(target as usize).ok_or_else(missing)?;
        met.met = true;
        met.passes(state);
        let innermost = self.frames.last_mut().ok_or_else(missing)?;
        innermost.outermost = innermost.outermost.min(target);
        self.part(target);
        Ok(())
    }

    fn otherwise(&mut self) -> Result<(), LoadError> {
        let depth = self.depth();
        let frame = self.frames.last_mut().ok_or_else(|| broken("an else without its if"))?;
        frame.is_if = false;
        if let Some(state) = &self.state {
            frame.met = true;
            frame.passes(state);
        }
        let outermost = frame.outermost.min(depth);
        self.state = frame.before.clone();
        self.part(depth);
        // On ways that left by the other arm, what follows is not executed either.
        self.part(outermost);
        Ok(())
    }

    fn end(&mut self) -> Result<(), LoadError> {
        let mut frame = self.frames.pop().ok_or_else(|| broken("an end without its block"))?;
        let this = self.frames.len() as u32;
        let falls = self.state.take();
        if let Some(state) = &falls {
            frame.passes(state);
        }
        let reached = falls.is_some() || (frame.met && !frame.is_loop) || (frame.is_if && frame.before.is_some());
        let outside = frame.outermost < this;
        if let (Some(outer), Some(before)) = (self.frames.last_mut(), &frame.before) {
            outer.outermost = if outside { outer.outermost.min(frame.outermost) } else { outer.outermost };
            if outer.is_after(before.site) {
                outer.left = outer.left.min(frame.left);
            }
        }
        self.state = match (frame.before, falls) {
            _ if !reached => None,
            // Nobody else comes here: what was known is known.
            (_, Some(state)) if !frame.met && !frame.is_if && !frame.is_loop => Some(state),
            // The ways that stayed meet here, and the site before the block is before all of them.
            (Some(mut state), _) => {
                if outside {
                    state.part(frame.outermost, state.least);
                }
                if !frame.is_loop {
                    let least = frame.least.min(frame.left);
                    // An `if` without `else` can be passed by.
                    state.least = if frame.is_if || least == u64::MAX { state.least } else { least };
                    state.most = self.sites.get(state.site).map_or(state.most, |site| site.amount);
                }
                Some(state)
            }
            (None, falls) => falls,
        };
        if let Some(state) = &mut self.state {
            state.meet(this);
        }
        Ok(())
    }
}

impl Frame {
    /// Whether `site` is the one before the block.
    fn is_after(&self, site: usize) -> bool {
        self.before.as_ref().is_some_and(|before| before.site == site)
    }

    /// A way leads from `state` to the end.
    fn passes(&mut self, state: &State) {
        if self.is_after(state.site) {
            self.least = self.least.min(state.least);
        }
    }
}

impl State {
    /// Whether the site may pay for an operator here.
    fn takes(&self, cost: u64, slack: u64) -> bool {
        let least = self.escapes.first().map_or(self.least.saturating_add(cost), |(_, least)| *least);
        cost == 0 || self.most.saturating_add(cost).saturating_sub(least) <= slack
    }

    fn part(&mut self, target: u32, least: u64) {
        // Kept from the innermost outwards; a way that meets no later than one before it adds nothing.
        if self.escapes.last().is_some_and(|(last, _)| *last <= target) {
            return;
        }
        if self.escapes.len() >= MAX_ESCAPES
            && let Some((last, _)) = self.escapes.last_mut()
        {
            // Of two ways as if they were one: with the cost of the cheaper, out to where the other leads.
            *last = target;
            return;
        }
        self.escapes.push((target, least));
    }

    /// The end of frame `this` was passed.
    fn meet(&mut self, this: u32) {
        self.escapes.retain(|(target, _)| *target < this);
    }
}
