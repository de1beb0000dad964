//! Shared libraries, loaded by name.
#![allow(unsafe_code, reason = "the dynamic loader has no safe form")]

use std::ffi::{CStr, c_void};

/// A library that stays loaded.
#[derive(Clone, Copy)]
pub struct Library(*mut c_void);

impl Library {
    /// Loads a file, and offers its symbols to libraries that are loaded after it.
    ///
    /// # Errors
    /// What the loader says.
    pub fn load(path: &CStr) -> Result<Self, String> {
        // SAFETY: the path ends in NUL. The library's constructors are those of VirtualBox.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        if handle.is_null() { Err(last_error()) } else { Ok(Self(handle)) }
    }

    /// A function.
    ///
    /// # Errors
    /// There is none of this name.
    ///
    /// # Safety
    /// `F` is the function's type, as its header declares it.
    pub unsafe fn function<F: Copy>(self, name: &CStr) -> Result<F, String> {
        // SAFETY: the handle is of a loaded library, and the name ends in NUL.
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        if address.is_null() {
            return Err(last_error());
        }
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
        // SAFETY: the sizes are equal, and the caller knows the type.
        Ok(unsafe { std::mem::transmute_copy::<*mut c_void, F>(&address) })
    }
}

fn last_error() -> String {
    // SAFETY: dlerror returns NULL or a string that is valid until the next call of the loader. The
    // program has one thread that calls it.
    unsafe {
        let error = libc::dlerror();
        if error.is_null() {
            "the loader fails".into()
        } else {
            CStr::from_ptr(error).to_string_lossy().into_owned()
        }
    }
}
