//! LightGBM's C interface, made safe. The one file of this crate that may hold `unsafe`.
//!
//! What every block below relies on:
//!
//! - LightGBM gets numbers from memory and parameters that this crate writes. It never gets a model, a
//!   file or a name from outside: its own loader is not safe on damaged ones.
//! - A handle is made by one call, owned by one value, freed once when that is dropped, and neither
//!   copied nor shared: the types are neither `Send` nor `Sync`. A booster borrows the rows that it reads.
//! - Every call catches what it throws and answers -1, with the reason kept for the calling thread.
//! - LightGBM keeps its number of threads in a variable of the process: [`alone`] lets one thread in at a
//!   time, and no handle is made without its guard.
#![allow(unsafe_code)]

use crate::error::{Error, Result};
use lightgbm3_sys as c;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The right to call LightGBM, which one thread has at a time.
pub(super) struct Alone(#[allow(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

/// Waits until no other thread uses LightGBM.
pub(super) fn alone() -> Alone {
    static TURN: Mutex<()> = Mutex::new(());
    Alone(TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Binned rows.
pub(super) struct Rows<'a> {
    handle: c::DatasetHandle,
    count: c_int,
    turn: PhantomData<&'a Alone>,
}

/// A column beside the features.
pub(super) enum Field<'a> {
    Labels(&'a [f32]),
    Weights(&'a [f32]),
    Offsets(&'a [f64]),
    GroupSizes(&'a [i32]),
}

/// Trees that grow.
pub(super) struct Booster<'a> {
    handle: c::BoosterHandle,
    rows: PhantomData<&'a Rows<'a>>,
}

const F32: c_int = c::C_API_DTYPE_FLOAT32 as c_int;
const F64: c_int = c::C_API_DTYPE_FLOAT64 as c_int;
const I32: c_int = c::C_API_DTYPE_INT32 as c_int;

impl<'a> Rows<'a> {
    /// Bins `values`, whole rows of `width` one after the other; as those of `like` are, where given.
    pub(super) fn new(
        _turn: &'a Alone,
        values: &[f32],
        width: usize,
        params: &str,
        like: Option<&Rows<'a>>,
    ) -> Result<Self> {
        let (rows, width) = shape(values, width)?;
        let params = text(params)?;
        let reference = like.map_or(ptr::null_mut(), |rows| rows.handle);
        let mut handle = ptr::null_mut();
        // SAFETY: `values` holds rows * width floats, which `shape` has checked, and outlives the call; all
        // of them are copied into bins. `params` ends with NUL. `reference` is null or a living dataset's.
        // `handle` is a place for one pointer.
        let code = unsafe {
            c::LGBM_DatasetCreateFromMat(
                values.as_ptr().cast::<c_void>(),
                F32,
                rows,
                width,
                1,
                params.as_ptr(),
                reference,
                &raw mut handle,
            )
        };
        done(code)?;
        Ok(Self { handle, count: rows, turn: PhantomData })
    }

    /// Adds a column: one value a row, or the sizes of groups that together are all rows.
    pub(super) fn set(&mut self, field: &Field<'_>) -> Result<()> {
        let (name, data, len, kind) = match field {
            Field::Labels(v) => (c"label", v.as_ptr().cast::<c_void>(), v.len(), F32),
            Field::Weights(v) => (c"weight", v.as_ptr().cast(), v.len(), F32),
            Field::Offsets(v) => (c"init_score", v.as_ptr().cast(), v.len(), F64),
            Field::GroupSizes(v) => (c"group", v.as_ptr().cast(), v.len(), I32),
        };
        let fits = match field {
            Field::GroupSizes(sizes) => {
                sizes.iter().all(|n| *n > 0)
                    && sizes.iter().map(|n| i64::from(*n)).sum::<i64>() == i64::from(self.count)
            }
            _ => i64::try_from(len) == Ok(i64::from(self.count)),
        };
        let len = c_int::try_from(len).ok().filter(|_| fits);
        let Some(len) = len else {
            return Err(Error::invalid(format!("boosted trees: {name:?} does not fit the rows")));
        };
        // SAFETY: the handle is a living dataset's, held mutably. `name` ends with NUL. `data` points to
        // `len` values of the type that `kind` says, outlives the call and is copied. That there is one a
        // row, or that the groups add up to the rows, was checked above.
        done(unsafe { c::LGBM_DatasetSetField(self.handle, name.as_ptr(), data, len, kind) })
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle was made by `new`, is freed here alone, and no booster is left that reads it:
        // boosters borrow their rows.
        unsafe { c::LGBM_DatasetFree(self.handle) };
    }
}

impl<'a> Booster<'a> {
    /// Trees to grow on `train`.
    pub(super) fn new(train: &'a Rows<'a>, params: &str) -> Result<Self> {
        let params = text(params)?;
        let mut handle = ptr::null_mut();
        // SAFETY: `train` is a living dataset and outlives the booster, by its lifetime. `params` ends with
        // NUL. `handle` is a place for one pointer.
        done(unsafe { c::LGBM_BoosterCreate(train.handle, params.as_ptr(), &raw mut handle) })?;
        Ok(Self { handle, rows: PhantomData })
    }

    /// Has every round scored on `held_out`, which was binned as the training rows were.
    pub(super) fn watch(&mut self, held_out: &'a Rows<'a>) -> Result<()> {
        // SAFETY: both handles are living ones; `held_out` outlives the booster, by its lifetime.
        done(unsafe { c::LGBM_BoosterAddValidData(self.handle, held_out.handle) })
    }

    /// Grows a tree; false where no split is left to make.
    pub(super) fn grow(&mut self) -> Result<bool> {
        let mut finished: c_int = 0;
        // SAFETY: the handle is a living booster's, held mutably, whose rows are alive; `finished` is a place
        // for one int.
        done(unsafe { c::LGBM_BoosterUpdateOneIter(self.handle, &raw mut finished) })?;
        Ok(finished == 0)
    }

    /// The one score of the rows that are watched.
    pub(super) fn score(&self) -> Result<f64> {
        let mut metrics: c_int = 0;
        // SAFETY: the handle is a living booster's; `metrics` is a place for one int.
        done(unsafe { c::LGBM_BoosterGetEvalCounts(self.handle, &raw mut metrics) })?;
        if metrics != 1 {
            return Err(Error::internal(format!("LightGBM keeps {metrics} scores, expected one")));
        }
        let (mut found, mut score): (c_int, f64) = (0, f64::NAN);
        // SAFETY: the handle is a living booster's. It writes as many doubles as it has metrics, which is
        // one, as was just asked, into `score`; `found` is a place for one int.
        done(unsafe { c::LGBM_BoosterGetEval(self.handle, 1, &raw mut found, &raw mut score) })?;
        Ok(score)
    }

    /// The first `rounds` trees in LightGBM's text format.
    pub(super) fn to_text(&self, rounds: usize) -> Result<String> {
        let rounds = c_int::try_from(rounds).map_err(|_| too_large())?;
        let mut bytes = Vec::<u8>::new();
        // Asked once for the length, and again with the room for it.
        for _ in 0..2 {
            let mut needed: i64 = 0;
            let room = i64::try_from(bytes.len()).map_err(|_| too_large())?;
            // SAFETY: the handle is a living booster's. It writes at most `room` bytes, all of which `bytes`
            // has, and none where that is less than it needs; `needed` is a place for one i64.
            let code = unsafe {
                c::LGBM_BoosterSaveModelToString(
                    self.handle,
                    0,
                    rounds,
                    0,
                    room,
                    &raw mut needed,
                    bytes.as_mut_ptr().cast::<c_char>(),
                )
            };
            done(code)?;
            if needed <= room {
                break;
            }
            bytes.resize(usize::try_from(needed).map_err(|_| too_large())?, 0);
        }
        let text = CStr::from_bytes_until_nul(&bytes).ok().and_then(|text| text.to_str().ok());
        text.map(str::to_owned).ok_or_else(|| Error::internal("LightGBM's model is no text"))
    }

    /// What LightGBM itself makes of rows of `width` features: its margins, offsets not included.
    #[cfg(test)]
    pub(super) fn margins(&self, values: &[f32], width: usize) -> Result<Vec<f64>> {
        let (rows, width) = shape(values, width)?;
        let mut margins = vec![0.0_f64; rows as usize];
        let mut written: i64 = 0;
        // SAFETY: the handle is a living booster's. `values` holds rows * width floats, as `shape` has
        // checked. A raw score of one output is one double a row, for which `margins` has the room. The
        // parameters end with NUL; `written` is a place for one i64.
        let code = unsafe {
            c::LGBM_BoosterPredictForMat(
                self.handle,
                values.as_ptr().cast::<c_void>(),
                F32,
                rows,
                width,
                1,
                c::C_API_PREDICT_RAW_SCORE as c_int,
                0,
                -1,
                c"verbosity=-1".as_ptr(),
                &raw mut written,
                margins.as_mut_ptr(),
            )
        };
        done(code)?;
        assert_eq!(written, i64::from(rows));
        Ok(margins)
    }
}

impl Drop for Booster<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle was made by `new` and is freed here alone.
        unsafe { c::LGBM_BoosterFree(self.handle) };
    }
}

/// Rows and width as LightGBM counts them.
fn shape(values: &[f32], width: usize) -> Result<(c_int, c_int)> {
    let rows = values.len().checked_div(width).filter(|rows| *rows > 0 && rows * width == values.len());
    match (rows.map(c_int::try_from), c_int::try_from(width)) {
        (Some(Ok(rows)), Ok(width)) => Ok((rows, width)),
        _ => Err(too_large()),
    }
}

fn text(params: &str) -> Result<CString> {
    CString::new(params).map_err(|_| Error::internal("a parameter holds a NUL"))
}

fn too_large() -> Error {
    Error::invalid("boosted trees: LightGBM takes from 1 to 2^31 - 1 rows, of at least one feature")
}

/// Converts a call's return code to a result.
fn done(code: c_int) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: it takes nothing and can be asked at any time.
    let reason = unsafe { c::LGBM_GetLastError() };
    // SAFETY: it answers a text that ends with NUL in memory of the calling thread, which lives as long as
    // that and is not written to before the next call, by when what is needed has been copied.
    let reason = unsafe { CStr::from_ptr(reason) };
    Err(Error::invalid(format!("boosted trees, LightGBM: {}", reason.to_string_lossy())))
}
