//! Calls into a module: what a function's type says is asked once, and the shapes that every message needs are called without
//! the detour by which any type can be called (a tenth of the time).
//!
//! Where it sits: used by [`super::jump`] and by the calling conventions in `abi.rs`.

use wasmtime::{AsContext, AsContextMut, Func, TypedFunc, Val, ValType};

use super::{Host, HostError};

/// Calls `function`, converting integers to the width that it declares, and returns its first result.
pub(crate) fn call_coerced(
    store: impl AsContextMut<Data = Host>,
    function: Func,
    args: &[Val],
) -> wasmtime::Result<Option<Val>> {
    let ty = function.ty(&store);
    Function { function, params: ty.params().collect(), results: zeros(ty.results()), shape: Shape::Other }
        .call(store, args)
}

/// A function of a module.
pub(crate) struct Function {
    function: Func,
    params: Vec<ValType>,
    /// The zeros of its results.
    results: Vec<Val>,
    shape: Shape,
}

/// The types of what is called for every message.
enum Shape {
    Get32(TypedFunc<(), i32>),
    Get64(TypedFunc<(), i64>),
    Set32(TypedFunc<i32, ()>),
    Set64(TypedFunc<i64, ()>),
    Map32(TypedFunc<i32, i32>),
    Map64(TypedFunc<i64, i64>),
    Pair32(TypedFunc<(i32, i32), i32>),
    Pair64(TypedFunc<(i64, i64), i64>),
    Plain(TypedFunc<(i32, i32, i32, i32), i64>),
    Other,
}

impl Shape {
    fn of(store: impl AsContext<Data = Host>, function: Func, params: &[ValType], results: &[Val]) -> Self {
        use ValType::{I32, I64};
        let store = &store;
        let shape = match (params, results) {
            ([], [Val::I32(_)]) => function.typed(store).map(Self::Get32),
            ([], [Val::I64(_)]) => function.typed(store).map(Self::Get64),
            ([I32], []) => function.typed(store).map(Self::Set32),
            ([I64], []) => function.typed(store).map(Self::Set64),
            ([I32], [Val::I32(_)]) => function.typed(store).map(Self::Map32),
            ([I64], [Val::I64(_)]) => function.typed(store).map(Self::Map64),
            ([I32, I32], [Val::I32(_)]) => function.typed(store).map(Self::Pair32),
            ([I64, I64], [Val::I64(_)]) => function.typed(store).map(Self::Pair64),
            ([I32, I32, I32, I32], [Val::I64(_)]) => function.typed(store).map(Self::Plain),
            _ => return Self::Other,
        };
        shape.unwrap_or(Self::Other)
    }
}

impl Function {
    pub(crate) fn of(store: impl AsContext<Data = Host>, function: Func) -> Self {
        let ty = function.ty(&store);
        let (params, results): (Vec<ValType>, _) = (ty.params().collect(), zeros(ty.results()));
        let shape = Shape::of(&store, function, &params, &results);
        Self { function, params, results, shape }
    }

    /// Calls it, converting integers to the width that it declares, and returns its first result.
    pub(crate) fn call(
        &self,
        mut store: impl AsContextMut<Data = Host>,
        args: &[Val],
    ) -> wasmtime::Result<Option<Val>> {
        if self.params.len() != args.len() {
            return Err(
                HostError::Fault("a function of the module has an unexpected number of parameters".to_owned()).into()
            );
        }
        let mut few = [Val::I32(0); 4];
        let many: Vec<Val>;
        let coerced = self.params.iter().zip(args).map(|(ty, value)| coerce(ty, value));
        let coerced = if args.len() <= few.len() {
            few.iter_mut().zip(coerced).for_each(|(place, value)| *place = value);
            few.get(..args.len()).unwrap_or_default()
        } else {
            many = coerced.collect();
            many.as_slice()
        };
        let result = self.call_exactly(&mut store, coerced)?;
        let in_flight = store.as_context().data().in_flight;
        if in_flight.is_some_and(|global| !matches!(global.get(&mut store), Val::I32(0))) {
            return Err(HostError::Uncaught.into());
        }
        Ok(result)
    }

    fn call_exactly(&self, mut store: impl AsContextMut<Data = Host>, args: &[Val]) -> wasmtime::Result<Option<Val>> {
        Ok(match (&self.shape, args) {
            (Shape::Get32(function), []) => Some(Val::I32(function.call(store, ())?)),
            (Shape::Get64(function), []) => Some(Val::I64(function.call(store, ())?)),
            (Shape::Set32(function), [Val::I32(value)]) => {
                function.call(store, *value)?;
                None
            }
            (Shape::Set64(function), [Val::I64(value)]) => {
                function.call(store, *value)?;
                None
            }
            (Shape::Map32(function), [Val::I32(value)]) => Some(Val::I32(function.call(store, *value)?)),
            (Shape::Map64(function), [Val::I64(value)]) => Some(Val::I64(function.call(store, *value)?)),
            (Shape::Pair32(function), [Val::I32(a), Val::I32(b)]) => Some(Val::I32(function.call(store, (*a, *b))?)),
            (Shape::Pair64(function), [Val::I64(a), Val::I64(b)]) => Some(Val::I64(function.call(store, (*a, *b))?)),
            (Shape::Plain(function), [Val::I32(a), Val::I32(b), Val::I32(c), Val::I32(d)]) => {
                Some(Val::I64(function.call(store, (*a, *b, *c, *d))?))
            }
            _ => {
                let mut results = self.results.clone();
                self.function.call(&mut store, args, &mut results)?;
                results.into_iter().next()
            }
        })
    }
}

fn zeros(types: impl Iterator<Item = ValType>) -> Vec<Val> {
    types.map(|ty| zero(&ty)).collect()
}

pub(super) fn zero(ty: &ValType) -> Val {
    match ty {
        ValType::I32 => Val::I32(0),
        ValType::F32 => Val::F32(0),
        ValType::F64 => Val::F64(0),
        _ => Val::I64(0),
    }
}

fn coerce(ty: &ValType, value: &Val) -> Val {
    match (ty, value) {
        (ValType::I32, Val::I64(value)) => Val::I32(*value as i32),
        (ValType::I64, Val::I32(value)) => Val::I64(i64::from(value.cast_unsigned())),
        _ => *value,
    }
}
