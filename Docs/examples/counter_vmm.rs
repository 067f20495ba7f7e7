//! counter-vmm.c in Rust, without a crate: the declarations of baton.h and of the C library by hand.
//!
//! ```text
//! rustc --edition 2021 -O counter_vmm.rs -L DIRECTORY -o counter-vmm-rs
//! counter-vmm-rs SOCKET GUEST TICKS
//! ```

use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_int, c_void};
use std::os::unix::io::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::{env, fmt, mem, process, ptr};

/// Text that ends with NUL, for C.
macro_rules! c_text {
    ($text:literal) => {
        concat!($text, "\0").as_ptr() as *const c_char
    };
}

/// What of baton.h this program uses.
mod ffi {
    use super::*;

    #[repr(C)]
    pub struct Vmm {
        _private: [u8; 0],
    }

    pub const WAY_NONE: u32 = 3;
    pub const START: u32 = 1;
    pub const RUN: u32 = 2;
    pub const OFFERED: u32 = 3;
    pub const CLAIM: u32 = 4;
    pub const PREPARE: u32 = 5;
    pub const FREEZE: u32 = 6;
    pub const PREFLIGHT: u32 = 8;
    pub const TAKE_BACK: u32 = 9;
    pub const RELEASED: u32 = 10;

    #[repr(C)]
    pub struct Identity {
        pub struct_size: usize,
        pub registry: *const c_char,
        pub guest: *const c_char,
        pub build: *const c_char,
        pub format_name: *const c_char,
        pub format_oldest: u16,
        pub format_newest: u16,
        pub is_fresh: u32,
        pub format_features: u64,
    }

    #[repr(C)]
    #[derive(Default)]
    pub struct Event {
        pub struct_size: usize,
        pub kind: u32,
        pub refusal: i32,
        pub handoff: u64,
        pub epoch: u64,
    }

    #[repr(C)]
    pub struct Failure {
        pub struct_size: usize,
        pub error: i32,
        pub refusal: i32,
        pub text: [c_char; 512],
    }

    #[repr(C)]
    pub struct Region {
        pub guest_physical_address: u64,
        pub byte_count: u64,
        pub file_offset: u64,
        pub file: u32,
        pub reserved: u32,
    }

    #[repr(C)]
    pub struct Guest {
        pub struct_size: usize,
        pub way: u32,
        pub vcpu_count: u32,
        pub ram_count: u32,
        pub region_count: u32,
        pub named_count: u32,
        pub reserved: u32,
        pub ram: *const c_int,
        pub regions: *const Region,
        pub names: *const *const c_char,
        pub named: *const c_int,
        pub vm: i32,
        pub take_back_vm: i32,
        pub format_name: *const c_char,
        pub format_version: u16,
        pub reserved2: u16,
        pub details_size: u32,
        pub format_features: u64,
        pub details: *const c_void,
    }

    #[repr(C)]
    pub struct Check {
        pub name: *const c_char,
        pub detail: *const c_char,
        pub remedy: *const c_char,
        pub verdict: u32,
        pub reserved: u32,
    }

    #[link(name = "baton")]
    extern "C" {
        pub fn baton_refusal_exit_status(refusal: i32) -> c_int;
        pub fn baton_vmm_new(identity: *const Identity, vmm: *mut *mut Vmm) -> c_int;
        pub fn baton_vmm_free(vmm: *mut Vmm);
        pub fn baton_vmm_connect(vmm: *mut Vmm, timeout_ms: u32) -> c_int;
        pub fn baton_vmm_descriptor(vmm: *mut Vmm) -> c_int;
        pub fn baton_vmm_process(vmm: *mut Vmm, event: *mut Event) -> c_int;
        pub fn baton_vmm_failure(vmm: *mut Vmm, failure: *mut Failure) -> c_int;
        pub fn baton_vmm_may_run(vmm: *mut Vmm) -> c_int;
        pub fn baton_vmm_take_ram(vmm: *mut Vmm, index: u32) -> c_int;
        pub fn baton_vmm_ready(vmm: *mut Vmm, vm: c_int) -> c_int;
        pub fn baton_vmm_claim_state(vmm: *mut Vmm, state: *mut c_void, size: usize) -> i64;
        pub fn baton_vmm_received(vmm: *mut Vmm) -> c_int;
        pub fn baton_vmm_give_back(vmm: *mut Vmm) -> c_int;
        pub fn baton_vmm_running(vmm: *mut Vmm, guest: *const Guest, first_instruction: u64) -> c_int;
        pub fn baton_vmm_offer(vmm: *mut Vmm, guest: *const Guest) -> c_int;
        pub fn baton_vmm_report(vmm: *mut Vmm, checks: *const Check, count: usize) -> c_int;
        pub fn baton_vmm_froze(vmm: *mut Vmm) -> c_int;
        pub fn baton_vmm_stage(
            vmm: *mut Vmm, state: *const c_void, size: usize, token: *const u64, last_instruction: u64,
        ) -> c_int;
        pub fn baton_vmm_took_back(vmm: *mut Vmm, outcome: c_int) -> c_int;
        pub fn baton_vmm_end(vmm: *mut Vmm) -> c_int;
    }

    #[repr(C)]
    pub struct PollFd {
        pub fd: c_int,
        pub events: i16,
        pub revents: i16,
    }

    #[repr(C)]
    pub struct TimeSpec {
        pub seconds: i64,
        pub nanoseconds: i64,
    }

    extern "C" {
        pub fn memfd_create(name: *const c_char, flags: u32) -> c_int;
        pub fn ftruncate(fd: c_int, length: i64) -> c_int;
        pub fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
        pub fn mmap(address: *mut c_void, length: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64)
            -> *mut c_void;
        pub fn munmap(address: *mut c_void, length: usize) -> c_int;
        pub fn poll(fds: *mut PollFd, count: u64, timeout: c_int) -> c_int;
        pub fn clock_gettime(clock: c_int, time: *mut TimeSpec) -> c_int;
    }
}

const RAM_SIZE: usize = 65536;

/// Why something went wrong, and the status to end with.
struct Failed {
    text: String,
    status: i32,
}

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn system(what: &str) -> Failed {
    Failed { text: format!("{what}: {}", std::io::Error::last_os_error()), status: 1 }
}

fn now() -> u64 {
    let mut time = ffi::TimeSpec { seconds: 0, nanoseconds: 0 };
    unsafe { ffi::clock_gettime(1, &mut time) };
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}

/// A handle that frees itself.
struct Handle(*mut ffi::Vmm);

impl Handle {
    fn new(registry: &CStr, guest: &CStr) -> Result<Handle, Failed> {
        let identity = ffi::Identity {
            struct_size: mem::size_of::<ffi::Identity>(),
            registry: registry.as_ptr(),
            guest: guest.as_ptr(),
            build: c_text!("counter_vmm.rs 1"),
            format_name: c_text!("example"),
            format_oldest: 1,
            format_newest: 1,
            is_fresh: 0,
            format_features: 0,
        };
        let mut vmm = ptr::null_mut();
        match unsafe { ffi::baton_vmm_new(&identity, &mut vmm) } {
            0 => Ok(Handle(vmm)),
            error => Err(Failed { text: format!("making a handle: errno {}", -error), status: 1 }),
        }
    }

    fn check(&self, what: &str, result: i64) -> Result<i64, Failed> {
        if result >= 0 {
            return Ok(result);
        }
        let mut failure = ffi::Failure {
            struct_size: mem::size_of::<ffi::Failure>(),
            error: 0,
            refusal: 0,
            text: [0; 512],
        };
        unsafe { ffi::baton_vmm_failure(self.0, &mut failure) };
        let text = unsafe { CStr::from_ptr(failure.text.as_ptr()) }.to_string_lossy();
        let status = if failure.refusal == 0 { 1 } else { unsafe { ffi::baton_refusal_exit_status(failure.refusal) } };
        Err(Failed { text: format!("{what}: {text}"), status })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        unsafe { ffi::baton_vmm_free(self.0) }
    }
}

/// Guest RAM: a sealed memfd and its mapping.
struct Memory {
    descriptor: OwnedFd,
    words: *mut u64,
}

impl Memory {
    fn map(descriptor: OwnedFd) -> Result<Memory, Failed> {
        // PROT_READ | PROT_WRITE, MAP_SHARED
        let words = unsafe { ffi::mmap(ptr::null_mut(), RAM_SIZE, 3, 1, descriptor.as_raw_fd(), 0) };
        if words as isize == -1 {
            return Err(system("mapping guest RAM"));
        }
        Ok(Memory { descriptor, words: words.cast() })
    }

    fn make() -> Result<Memory, Failed> {
        // MFD_CLOEXEC | MFD_ALLOW_SEALING
        let number = unsafe { ffi::memfd_create(c_text!("counter-ram"), 3) };
        if number < 0 {
            return Err(system("making guest RAM"));
        }
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        // F_ADD_SEALS; F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW
        let sealed = unsafe { ffi::ftruncate(number, RAM_SIZE as i64) == 0 && ffi::fcntl(number, 1033, 7 as c_int) == 0 };
        if !sealed {
            return Err(system("sealing guest RAM"));
        }
        Memory::map(descriptor)
    }

    fn counter(&self) -> u64 {
        unsafe { ptr::read_volatile(self.words) }
    }

    fn count(&self) {
        unsafe { ptr::write_volatile(self.words, self.counter() + 1) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        unsafe { ffi::munmap(self.words.cast(), RAM_SIZE) };
    }
}

struct CounterVmm {
    handle: Handle,
    memory: Option<Memory>,
    epochs: Vec<u64>,
    last: u64,
    is_running: bool,
    is_released: bool,
}

impl CounterVmm {
    fn memory(&self) -> Result<&Memory, Failed> {
        self.memory.as_ref().ok_or(Failed { text: "there is no guest RAM yet".into(), status: 1 })
    }

    fn tick(&mut self) -> Result<(), Failed> {
        self.handle.check("running the guest", unsafe { ffi::baton_vmm_may_run(self.handle.0) }.into())?;
        self.memory()?.count();
        self.last = now();
        Ok(())
    }

    /// Calls with what describes the guest, which lives as long as the call.
    fn with_guest(&self, what: &str, call: impl Fn(*const ffi::Guest) -> c_int) -> Result<(), Failed> {
        let ram: RawFd = self.memory()?.descriptor.as_raw_fd();
        let region =
            ffi::Region { guest_physical_address: 0, byte_count: RAM_SIZE as u64, file_offset: 0, file: 0, reserved: 0 };
        let guest = ffi::Guest {
            struct_size: mem::size_of::<ffi::Guest>(),
            way: ffi::WAY_NONE,
            vcpu_count: 1,
            ram_count: 1,
            region_count: 1,
            named_count: 0,
            reserved: 0,
            ram: &ram,
            regions: &region,
            names: ptr::null(),
            named: ptr::null(),
            vm: -1,
            take_back_vm: -1,
            format_name: c_text!("example"),
            format_version: 1,
            reserved2: 0,
            details_size: 0,
            format_features: 0,
            details: ptr::null(),
        };
        self.handle.check(what, call(&guest).into()).map(drop)
    }

    /// False when this process has nothing to do with the guest any more.
    fn carry_out(&mut self, event: &ffi::Event) -> Result<bool, Failed> {
        let vmm = self.handle.0;
        match event.kind {
            ffi::START | ffi::RUN => {
                if event.kind == ffi::START {
                    self.memory = Some(Memory::make()?);
                }
                self.epochs.push(event.epoch);
                self.tick()?;
                self.is_running = true;
                let first = self.last;
                self.with_guest("saying that the guest runs", |guest| unsafe {
                    ffi::baton_vmm_running(vmm, guest, first)
                })?;
            }
            ffi::OFFERED => {
                let ram = self.handle.check("taking RAM", unsafe { ffi::baton_vmm_take_ram(vmm, 0) }.into())?;
                self.memory = Some(Memory::map(unsafe { OwnedFd::from_raw_fd(ram as RawFd) })?);
                self.handle.check("saying ready", unsafe { ffi::baton_vmm_ready(vmm, -1) }.into())?;
            }
            ffi::CLAIM => {
                let mut state = [0u8; 8];
                let size = unsafe { ffi::baton_vmm_claim_state(vmm, state.as_mut_ptr().cast(), state.len()) };
                if size == 8 && u64::from_le_bytes(state) == self.memory()?.counter() {
                    self.handle.check("saying received", unsafe { ffi::baton_vmm_received(vmm) }.into())?;
                } else {
                    self.handle.check("giving the baton back", unsafe { ffi::baton_vmm_give_back(vmm) }.into())?;
                }
            }
            ffi::PREPARE => {
                self.with_guest("offering the guest", |guest| unsafe { ffi::baton_vmm_offer(vmm, guest) })?
            }
            ffi::FREEZE => {
                self.is_running = false;
                self.handle.check("freezing", unsafe { ffi::baton_vmm_froze(vmm) }.into())?;
                let state = self.memory()?.counter().to_le_bytes();
                let result = unsafe {
                    ffi::baton_vmm_stage(vmm, state.as_ptr().cast(), state.len(), ptr::null(), self.last)
                };
                self.handle.check("staging", result.into())?;
            }
            ffi::PREFLIGHT => {
                let fine = ffi::Check {
                    name: c_text!("example"),
                    detail: c_text!("a counter"),
                    remedy: ptr::null(),
                    verdict: 0,
                    reserved: 0,
                };
                self.handle.check("reporting", unsafe { ffi::baton_vmm_report(vmm, &fine, 1) }.into())?;
            }
            ffi::TAKE_BACK => {
                self.handle.check("taking back", unsafe { ffi::baton_vmm_took_back(vmm, 1) }.into())?;
            }
            ffi::RELEASED => {
                self.is_released = true;
                self.is_running = false;
                return Ok(false);
            }
            _ => {}
        }
        Ok(true)
    }

    fn live(&mut self, ticks: u64) -> Result<(), Failed> {
        let mut event = ffi::Event { struct_size: mem::size_of::<ffi::Event>(), ..Default::default() };
        loop {
            let found = unsafe { ffi::baton_vmm_process(self.handle.0, &mut event) };
            if self.handle.check("listening to the registry", found.into())? > 0 {
                if !self.carry_out(&event)? {
                    return Ok(());
                }
                continue;
            }
            if self.is_running {
                if self.memory()?.counter() >= ticks {
                    self.handle.check("ending the guest", unsafe { ffi::baton_vmm_end(self.handle.0) }.into())?;
                    return Ok(());
                }
                self.tick()?;
            }
            let mut ready =
                ffi::PollFd { fd: unsafe { ffi::baton_vmm_descriptor(self.handle.0) }, events: 1, revents: 0 };
            unsafe { ffi::poll(&mut ready, 1, if self.is_running { 1 } else { 50 }) };
        }
    }
}

fn run(registry: &str, guest: &str, ticks: u64) -> Result<(), Failed> {
    let text = |value: &str| {
        CString::new(value).map_err(|_| Failed { text: "an argument has a zero byte in it".into(), status: 64 })
    };
    let mut vmm = CounterVmm {
        handle: Handle::new(&text(registry)?, &text(guest)?)?,
        memory: None,
        epochs: Vec::new(),
        last: 0,
        is_running: false,
        is_released: false,
    };
    vmm.handle.check("coming to the registry", unsafe { ffi::baton_vmm_connect(vmm.handle.0, 10_000) }.into())?;
    vmm.live(ticks)?;
    let counter = vmm.memory.as_ref().map_or(0, Memory::counter);
    println!("{{\"counter\":{counter},\"epochs\":{:?},\"released\":{}}}", vmm.epochs, vmm.is_released);
    Ok(())
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let ticks = arguments.get(3).and_then(|text| text.parse().ok());
    let ticks = match (arguments.len(), ticks) {
        (4, Some(ticks)) => ticks,
        _ => {
            eprintln!("usage: counter-vmm-rs SOCKET GUEST TICKS");
            process::exit(64);
        }
    };
    if let Err(failed) = run(&arguments[1], &arguments[2], ticks) {
        eprintln!("counter-vmm-rs: {failed}");
        process::exit(failed.status);
    }
}
