//! Counts fuel in the module itself, so that it is the same whatever compiles the module: a global counts down by what the
//! operators cost, and when it is below 0 the module traps.
//!
//! What a unit is: [`costs`]. Where it is paid: [`regions`]. A charge is `fuel -= amount`; whether there was enough is looked
//! at where a function or a turn of a loop begins and before an operator with a length, which is on every cycle that
//! execution can take, and by the host at the end. A function that is short, has no branches and is only called directly is
//! paid by its callers (its cost is the same each time) and stays as it is.
//!
//! The trap is an `unreachable` at the end of each function; that it was the fuel is seen by the global, which then is
//! below 0. A message that ends so has used all its fuel. The start function becomes an export that the host calls, because
//! fuel cannot be given before there is an instance.
//!
//! Where it sits: in [`super::rewrite`] behind the passes whose operators are paid for (exceptions, depth) and before those
//! whose are not. The host reads and sets the global (`live.rs`, `host/mod.rs`); it is no state of a process.

mod costs;
mod regions;

use wasmparser::{ConstExpr, Operator, Parser, Payload, ValType};

use super::{
    binary::{self, Binary, read_leb, write_leb, write_signed},
    bodies::{self, Function, Gives},
    depth,
    exceptions::{broken, type_byte},
    function::with_locals,
    narrow, not_wasm,
};
use crate::compute::module::LoadError;
use costs::Length;
pub(crate) use costs::TABLE as FUEL_TABLE;
use regions::{Kind, Site};

/// The export of the global that holds the fuel that is left.
pub(crate) const FUEL: &str = "weft:fuel";
/// The export that the start function becomes.
pub(crate) const START: &str = "weft:start";
/// Most units of a function that its callers pay for.
const MAX_PREPAID: u64 = 1000;
/// Most units of a function without calls and loops that does not look whether there is fuel left: its callers do.
const MAX_UNCHECKED: u64 = 256;
/// Most new bytes for each byte of the module.
const MAX_GROWTH: usize = 8;
/// The section that names the start function.
const START_SECTION: u8 = 8;

const UNREACHABLE: u8 = 0x00;
const BLOCK: u8 = 0x02;
const IF: u8 = 0x04;
const END: u8 = 0x0b;
const BR_IF: u8 = 0x0d;
const RETURN: u8 = 0x0f;
const SELECT: u8 = 0x1b;
const LOCAL_GET: u8 = 0x20;
const LOCAL_TEE: u8 = 0x22;
const GLOBAL_GET: u8 = 0x23;
const GLOBAL_SET: u8 = 0x24;
const I32_CONST: u8 = 0x41;
const I64_CONST: u8 = 0x42;
const I32_LT_U: u8 = 0x49;
const I64_LT_S: u8 = 0x53;
const I64_LT_U: u8 = 0x54;
const I64_SUB: u8 = 0x7d;
const I64_SHL: u8 = 0x86;
const I64_SHR_U: u8 = 0x88;
const I64_EXTEND_I32_U: u8 = 0xad;
const EMPTY: u8 = 0x40;

/// What the bodies need to know of the module.
struct Context<'a> {
    wasm: &'a [u8],
    /// Index of the fuel.
    fuel: u32,
    /// Whether the memory has 64-bit addresses.
    wide: bool,
    /// How many values types and functions take and give.
    arities: narrow::Module,
    /// Units that a site may take for operators that are not executed.
    slack: u64,
}

/// `wasm` with its fuel counted.
pub(super) fn charge(wasm: &[u8]) -> Result<Vec<u8>, LoadError> {
    charge_within(wasm, regions::SLACK)
}

fn charge_within(wasm: &[u8], slack: u64) -> Result<Vec<u8>, LoadError> {
    let (graph, _) = depth::measure(wasm)?;
    let functions = bodies::functions(wasm)?;
    let mut binary = Binary::parse(wasm)?;
    let start = start(&mut binary)?;
    let open = open(wasm, &graph, start)?;
    let context = Context { wasm, fuel: graph.globals, wide: wide(wasm)?, arities: narrow::read(wasm)?.0, slack };
    let bodies = charged(&context, &graph, &functions, &open)?;
    let mut section = Vec::new();
    write_leb(&mut section, bodies.len() as u32);
    for (function, body) in functions.iter().zip(&bodies) {
        let old = context.bytes(function.body.range())?;
        let body = body.as_deref().unwrap_or(old);
        write_leb(&mut section, body.len() as u32);
        section.extend_from_slice(body);
    }
    binary.replace(binary::CODE, section);
    // i64, mutable, 0: the host sets it before it calls anything.
    binary.append(binary::GLOBALS, binary::MEMORIES, &[vec![0x7e, 1, I64_CONST, 0, END]])?;
    let mut exports = vec![binary::export(FUEL, super::GLOBAL, graph.globals)];
    exports.extend(start.map(|index| binary::export(START, super::FUNCTION, index)));
    binary.append(binary::EXPORTS, binary::GLOBALS, &exports)?;
    Ok(binary.encode())
}

/// Takes the start function out of the module.
fn start(binary: &mut Binary<'_>) -> Result<Option<u32>, LoadError> {
    let Some(content) = binary.section(START_SECTION) else { return Ok(None) };
    let (index, _) = read_leb(content).ok_or_else(|| broken("a start function that is not there"))?;
    binary.remove(START_SECTION);
    Ok(Some(index))
}

/// Whether the memory has 64-bit addresses.
fn wide(wasm: &[u8]) -> Result<bool, LoadError> {
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::MemorySection(section) = payload.map_err(not_wasm)?
            && let Some(memory) = section.into_iter().next()
        {
            return Ok(memory.map_err(not_wasm)?.memory64);
        }
    }
    Ok(false)
}

/// Which functions can be called otherwise than directly.
fn open(wasm: &[u8], graph: &depth::Graph, start: Option<u32>) -> Result<Vec<bool>, LoadError> {
    let mut open = vec![false; graph.calls.len()];
    let mut mark = |index: Option<u32>| {
        if let Some(flag) = index.and_then(|index| open.get_mut(index as usize)) {
            *flag = true;
        }
    };
    graph.open.iter().for_each(|index| mark(Some(*index)));
    mark(start.and_then(|index| index.checked_sub(graph.imported)));
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::GlobalSection(section) = payload.map_err(not_wasm)? {
            for global in section {
                referenced(&global.map_err(not_wasm)?.init_expr, |index| mark(index.checked_sub(graph.imported)))?;
            }
        }
    }
    Ok(open)
}

fn referenced(expression: &ConstExpr<'_>, mut mark: impl FnMut(u32)) -> Result<(), LoadError> {
    for operator in expression.get_operators_reader() {
        if let Operator::RefFunc { function_index } = operator.map_err(not_wasm)? {
            mark(function_index);
        }
    }
    Ok(())
}

/// The new bodies; none for functions that stay as they are. Functions come behind those that they call, as far as they do
/// not call each other, so that it is known which of them their callers pay for.
fn charged(
    context: &Context<'_>,
    graph: &depth::Graph,
    functions: &[Function<'_>],
    open: &[bool],
) -> Result<Vec<Option<Vec<u8>>>, LoadError> {
    let count = functions.len();
    let mut callers: Vec<Vec<u32>> = vec![Vec::new(); count];
    let mut waiting = vec![0_usize; count];
    for ((caller, callees), waiting) in (0_u32..).zip(&graph.calls).zip(&mut waiting) {
        for callee in callees {
            if let Some(callers) = callers.get_mut(*callee as usize) {
                callers.push(caller);
                *waiting += 1;
            }
        }
    }
    let mut work = Work { context, graph, prepaid: vec![0; count], bodies: vec![None; count], size: 0 };
    let mut ready: Vec<usize> =
        waiting.iter().enumerate().filter(|(_, calls)| **calls == 0).map(|(at, _)| at).collect();
    let mut done = vec![false; count];
    while let Some(index) = ready.pop() {
        if let Some(function) = functions.get(index) {
            work.function(index, function, !open.get(index).copied().unwrap_or(true))?;
        }
        if let Some(flag) = done.get_mut(index) {
            *flag = true;
        }
        for caller in callers.get(index).into_iter().flatten() {
            if let Some(calls) = waiting.get_mut(*caller as usize) {
                *calls -= 1;
                if *calls == 0 {
                    ready.push(*caller as usize);
                }
            }
        }
    }
    // What is left calls itself in some way, or calls what does.
    for (index, function) in functions.iter().enumerate().filter(|(index, _)| done.get(*index) == Some(&false)) {
        work.function(index, function, false)?;
    }
    Ok(work.bodies)
}

struct Work<'a> {
    context: &'a Context<'a>,
    graph: &'a depth::Graph,
    /// What the callers of a function pay for it.
    prepaid: Vec<u64>,
    bodies: Vec<Option<Vec<u8>>>,
    size: usize,
}

impl Work<'_> {
    /// Decides how a function is paid for; `may_prepay` if that may be left to its callers.
    fn function(&mut self, index: usize, function: &Function<'_>, may_prepay: bool) -> Result<(), LoadError> {
        let beside = |operator: &Operator<'_>| {
            let own = match operator {
                Operator::Call { function_index } => function_index.checked_sub(self.graph.imported),
                _ => None,
            };
            let prepaid = own.and_then(|own| self.prepaid.get(own as usize)).copied().unwrap_or(0);
            prepaid.saturating_add(costs::of_values(operator, &self.context.arities))
        };
        let mut sites = regions::sites(&function.body, &beside, self.context.slack)?;
        if let Some(entry) = sites.first_mut() {
            entry.amount = entry.amount.saturating_add(costs::of_locals(function.locals()?));
        }
        let total = sites.iter().fold(0_u64, |total, site| total.saturating_add(site.amount));
        if let ([_], true, Some(place)) = (&*sites, may_prepay && total <= MAX_PREPAID, self.prepaid.get_mut(index)) {
            *place = total;
            return Ok(());
        }
        let calls = self.graph.calls.get(index).is_none_or(|calls| !calls.is_empty());
        let loops = sites.iter().any(|site| matches!(site.kind, Kind::Loop | Kind::Length(_)));
        let checked = calls || loops || total > MAX_UNCHECKED;
        let body = self.context.body(function, &sites, checked)?;
        self.size = self.size.saturating_add(body.len());
        if self.size / MAX_GROWTH > self.context.wasm.len() {
            return Err(LoadError::Unsupported("hardly anything but branches".to_owned()));
        }
        if let Some(place) = self.bodies.get_mut(index) {
            *place = Some(body);
        }
        Ok(())
    }
}

impl Context<'_> {
    fn bytes(&self, range: std::ops::Range<usize>) -> Result<&[u8], LoadError> {
        self.wasm.get(range).ok_or_else(|| broken("bytes that are not there"))
    }

    /// The body with its charges. If it looks for fuel, its code goes into two blocks: the inner takes the place of the
    /// function for branches that leave it, behind the outer is the trap.
    fn body(&self, function: &Function<'_>, sites: &[Site], checked: bool) -> Result<Vec<u8>, LoadError> {
        let range = function.body.range();
        let first = function.body.get_operators_reader().map_err(not_wasm)?.original_position();
        let block = match function.gives {
            _ if !checked => None,
            Gives::Nothing => Some(EMPTY),
            Gives::One(ty) => Some(type_byte(ty)?),
            // Such a block would need a type; these functions have the trap where they look.
            Gives::More => None,
        };
        let mut code = Vec::with_capacity(range.len() + 16 * sites.len());
        if let Some(result) = block {
            code.extend([BLOCK, EMPTY, BLOCK, result]);
        }
        let mut writer = Writer { fuel: self.fuel, apart: block.is_some(), code, added: Vec::new(), first_added: None };
        let mut copied = first;
        for site in sites {
            writer.code.extend_from_slice(self.bytes(copied..site.at)?);
            copied = site.at;
            match site.kind {
                Kind::Length(length) => {
                    let wide = self.wide && length != Length::SegmentBytes;
                    let local = writer.local(if wide { ValType::I64 } else { ValType::I32 }, function)?;
                    writer.length(length, wide, local, site.depth);
                }
                kind => writer.site(site, checked && kind != Kind::Inside),
            }
        }
        writer.code.extend_from_slice(self.bytes(copied..range.end)?);
        if block.is_some() {
            writer.code.extend([RETURN, END, UNREACHABLE, END]);
        }
        with_locals(self.bytes(range.start..first)?, &writer.added, &writer.code)
    }
}

/// Code with charges, as far as it is written.
struct Writer {
    fuel: u32,
    /// Whether the trap is behind the code.
    apart: bool,
    code: Vec<u8>,
    /// Locals that hold a length while it is paid for, and the index of the first.
    added: Vec<ValType>,
    first_added: Option<u32>,
}

impl Writer {
    fn indexed(&mut self, instruction: u8, index: u32) {
        self.code.push(instruction);
        write_leb(&mut self.code, index);
    }

    fn constant(&mut self, instruction: u8, value: u32) {
        self.code.push(instruction);
        write_signed(&mut self.code, value);
    }

    fn local(&mut self, ty: ValType, function: &Function<'_>) -> Result<u32, LoadError> {
        let first = match self.first_added {
            Some(first) => first,
            None => *self.first_added.insert(function.locals()?),
        };
        let place = match self.added.iter().position(|added| *added == ty) {
            Some(place) => place,
            None => {
                self.added.push(ty);
                self.added.len() - 1
            }
        };
        first.checked_add(place as u32).ok_or_else(|| broken("too many locals"))
    }

    /// `fuel -= amount`, and a look at what is left.
    fn site(&mut self, site: &Site, looks: bool) {
        // In parts that a 32-bit constant holds: no function has so many operators, but with what its callees cost…
        let mut left = site.amount;
        while left > 0 {
            let part = u32::try_from(left).unwrap_or(u32::MAX).min(1 << 30);
            left -= u64::from(part);
            self.indexed(GLOBAL_GET, self.fuel);
            self.constant(I64_CONST, part);
            self.code.push(I64_SUB);
            self.indexed(GLOBAL_SET, self.fuel);
        }
        if looks {
            self.look(site.depth);
        }
    }

    /// Traps if the fuel is below 0.
    fn look(&mut self, depth: u32) {
        self.indexed(GLOBAL_GET, self.fuel);
        self.code.extend([I64_CONST, 0, I64_LT_S]);
        if self.apart {
            self.indexed(BR_IF, depth.saturating_add(1));
        } else {
            self.code.extend([IF, EMPTY, UNREACHABLE, END]);
        }
    }

    /// `fuel -= cost of the length on top of the stack`, which stays there. No overflow: bytes are divided, pages bounded,
    /// and the fuel is hardly below 0 before.
    fn length(&mut self, length: Length, wide: bool, local: u32, depth: u32) {
        self.indexed(LOCAL_TEE, local);
        self.indexed(GLOBAL_GET, self.fuel);
        self.indexed(LOCAL_GET, local);
        if !wide {
            self.code.push(I64_EXTEND_I32_U);
        }
        if length == Length::Pages {
            self.constant(I64_CONST, costs::MOST_PAGES);
            self.indexed(LOCAL_GET, local);
            self.constant(if wide { I64_CONST } else { I32_CONST }, costs::MOST_PAGES);
            self.code.extend([if wide { I64_LT_U } else { I32_LT_U }, SELECT, I64_CONST, costs::PAGE_SHIFT, I64_SHL]);
        } else {
            self.code.extend([I64_CONST, costs::BYTES_SHIFT, I64_SHR_U]);
        }
        self.code.push(I64_SUB);
        self.indexed(GLOBAL_SET, self.fuel);
        self.look(depth);
    }
}

#[cfg(test)]
mod tests;
