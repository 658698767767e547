//! setjmp and longjmp as emscripten does them: `invoke_*` calls into the module, and a longjmp below it unwinds the
//! native stack back to it as an error.

use wasmtime::{Caller, Extern, Func, FuncType, Linker, Trap, Val, ValType};

use super::{
    Call, FUEL_PER_CALL, Host, HostError, Outcome, charge, exported,
    function::{call_coerced, zero},
};
use crate::compute::config::MAX_CALLS_BACK;

/// Fuel for a call from a host function into the module: looking the function up and asking for its type included.
const FUEL_PER_CALL_BACK: u64 = 150;
/// The module's names for "read the stack pointer" and "set it", old and new.
pub(crate) const STACK_SAVE: [&str; 2] = ["emscripten_stack_get_current", "stackSave"];
pub(crate) const STACK_RESTORE: [&str; 2] = ["_emscripten_stack_restore", "stackRestore"];

pub(super) fn throw(_: &mut Call<'_, '_>) -> Outcome {
    Err(HostError::LongJump.into())
}

/// Defines `invoke_<signature>`.
pub(super) fn define_invoke(linker: &mut Linker<Host>, name: &str, ty: FuncType) -> Option<wasmtime::Result<()>> {
    let signature = name.strip_prefix("invoke_")?;
    if signature.is_empty() || signature.len() > 32 || !signature.bytes().all(|byte| b"vijfd".contains(&byte)) {
        return None;
    }
    let dyn_call = format!("dynCall_{signature}");
    let result = ty.results().next();
    linker.allow_shadowing(true);
    let defined = linker.func_new(super::ENV, name, ty, move |mut caller, args, results| {
        charge(&mut caller, FUEL_PER_CALL)?;
        let value = invoke(&mut caller, &dyn_call, args)?;
        if let (Some(slot), Some(ty)) = (results.first_mut(), &result) {
            *slot = value.filter(|value| value.ty_matches(ty)).unwrap_or_else(|| zero(ty));
        }
        Ok(())
    });
    Some(defined.map(|_| ()))
}

trait TypeMatch {
    fn ty_matches(&self, ty: &ValType) -> bool;
}

impl TypeMatch for Val {
    fn ty_matches(&self, ty: &ValType) -> bool {
        matches!(
            (self, ty),
            (Self::I32(_), ValType::I32)
                | (Self::I64(_), ValType::I64)
                | (Self::F32(_), ValType::F32)
                | (Self::F64(_), ValType::F64)
        )
    }
}

/// Calls the function in table slot `args[0]` with the rest of `args`. A longjmp inside it ends here: the stack
/// pointer goes back to where it was and the module is told by `setThrew`.
fn invoke(caller: &mut Caller<'_, Host>, dyn_call: &str, args: &[Val]) -> wasmtime::Result<Option<Val>> {
    let save = first_of(caller, &STACK_SAVE)?;
    let stack = call_back(caller, save, &[])?.unwrap_or(Val::I32(0));
    let depth = caller.data().depth.map(|global| (global, global.get(&mut *caller)));
    let outcome = match exported(caller, dyn_call) {
        Some(trampoline) => call_back(caller, trampoline, args),
        None => {
            let (target, rest) = table_entry(caller, args)?;
            call_back(caller, target, rest)
        }
    };
    match outcome {
        Err(error) if error.downcast_ref::<HostError>() == Some(&HostError::LongJump) => {
            if let Some((global, depth)) = depth {
                global.set(&mut *caller, depth)?;
            }
            let restore = first_of(caller, &STACK_RESTORE)?;
            call_back(caller, restore, &[stack])?;
            let set_threw = first_of(caller, &["setThrew"])?;
            call_back(caller, set_threw, &[Val::I32(1), Val::I32(0)])?;
            Ok(None)
        }
        other => other,
    }
}

fn table_entry<'a>(caller: &mut Caller<'_, Host>, args: &'a [Val]) -> wasmtime::Result<(Func, &'a [Val])> {
    let broken = || HostError::Fault("the module called a function that is not in its table".to_owned());
    let (index, rest) = args.split_first().ok_or_else(broken)?;
    let index = match index {
        Val::I32(index) => u64::from(index.cast_unsigned()),
        Val::I64(index) => index.cast_unsigned(),
        _ => return Err(broken().into()),
    };
    let Some(Extern::Table(table)) = caller.get_export("__indirect_function_table") else {
        return Err(broken().into());
    };
    match table.get(&mut *caller, index).as_ref().and_then(|entry| entry.as_func()) {
        Some(Some(function)) => Ok((*function, rest)),
        _ => Err(broken().into()),
    }
}

fn first_of(caller: &mut Caller<'_, Host>, names: &[&str]) -> wasmtime::Result<Func> {
    names
        .iter()
        .find_map(|name| exported(caller, name))
        .ok_or_else(|| HostError::Fault(format!("the module does not export {}", names.join(" or "))).into())
}

/// What a host function calls in the module: [`call_coerced`], with a bound on how many such calls are open at once. It is
/// met at the same call on every machine, unlike the end of the native stack, and ends the evaluation like it.
pub(super) fn call_back(caller: &mut Caller<'_, Host>, function: Func, args: &[Val]) -> wasmtime::Result<Option<Val>> {
    charge(caller, FUEL_PER_CALL_BACK)?;
    let open = caller.data().calls_back;
    if open >= MAX_CALLS_BACK {
        return Err(Trap::StackOverflow.into());
    }
    caller.data_mut().calls_back = open + 1;
    let outcome = call_coerced(&mut *caller, function, args);
    // Whatever ends the call (an answer, a trap, a longjmp), it comes by here.
    caller.data_mut().calls_back = open;
    outcome
}
