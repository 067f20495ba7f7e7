//! guest_vmm.c in Rust, without a crate: the declarations of baton.h and machine.h by hand. The machine itself is the C
//! of machine.h, as a static library.
//!
//! ```text
//! make guest-vmm-rs
//! guest-vmm-rs --vm NAME --registry SOCKET [options as options.h lists them]
//! ```
//!
//! SPDX-License-Identifier: Apache-2.0

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Write;
use std::os::raw::{c_char, c_int, c_void};
use std::os::unix::io::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::{env, fmt, mem, process, ptr, thread, time};

/// Text that ends with NUL, for C.
macro_rules! c_text {
    ($text:expr) => {
        concat!($text, "\0").as_ptr() as *const c_char
    };
}

/// What of baton.h, machine.h, options.h and the C library this program uses.
mod ffi {
    use super::*;

    #[repr(C)]
    pub struct Vmm {
        _private: [u8; 0],
    }
    #[repr(C)]
    pub struct Machine {
        _private: [u8; 0],
    }

    pub const WAY_TOKEN: u32 = 1;
    pub const WAY_MOVE: u32 = 2;
    pub const WAY_NONE: u32 = 3;
    pub const START: u32 = 1;
    pub const RUN: u32 = 2;
    pub const OFFERED: u32 = 3;
    pub const CLAIM: u32 = 4;
    pub const PREPARE: u32 = 5;
    pub const FREEZE: u32 = 6;
    pub const ATTEMPT_OVER: u32 = 7;
    pub const PREFLIGHT: u32 = 8;
    pub const TAKE_BACK: u32 = 9;
    pub const RELEASED: u32 = 10;
    pub const ALARM: u32 = 11;
    pub const STATE_CLAIMING: c_int = 4;
    pub const STATE_FROZEN: c_int = 8;

    pub const TAKEN: c_int = 0;
    pub const USED: c_int = 1;
    pub const UNTOUCHED: c_int = 2;
    pub const MOST_STATE: usize = 4 << 20;

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
    #[derive(Default)]
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
    #[derive(Default)]
    pub struct Offer {
        pub struct_size: usize,
        pub handoff: u64,
        pub way: u32,
        pub vcpu_count: u32,
        pub ram_count: u32,
        pub region_count: u32,
        pub named_count: u32,
        pub has_vm: u32,
        pub is_stopped: u32,
        pub details_size: u32,
        pub format_features: u64,
        pub format_version: u16,
        pub reserved: [u16; 3],
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
        pub fn baton_refusal_sentence(refusal: i32) -> *const c_char;
        pub fn baton_refusal_exit_status(refusal: i32) -> c_int;
        pub fn baton_vmm_new(identity: *const Identity, vmm: *mut *mut Vmm) -> c_int;
        pub fn baton_vmm_free(vmm: *mut Vmm);
        pub fn baton_vmm_connect(vmm: *mut Vmm, timeout_ms: u32) -> c_int;
        pub fn baton_vmm_descriptor(vmm: *mut Vmm) -> c_int;
        pub fn baton_vmm_process(vmm: *mut Vmm, event: *mut Event) -> c_int;
        pub fn baton_vmm_state(vmm: *mut Vmm) -> c_int;
        pub fn baton_vmm_failure(vmm: *mut Vmm, failure: *mut Failure) -> c_int;
        pub fn baton_vmm_may_run(vmm: *mut Vmm) -> c_int;
        pub fn baton_vmm_offer_get(vmm: *mut Vmm, offer: *mut Offer) -> c_int;
        pub fn baton_vmm_offer_region(vmm: *mut Vmm, index: u32, region: *mut Region) -> c_int;
        pub fn baton_vmm_offer_name(vmm: *mut Vmm, index: u32, name: *mut c_char, size: usize) -> c_int;
        pub fn baton_vmm_offer_details(vmm: *mut Vmm, details: *mut c_void, size: usize) -> c_int;
        pub fn baton_vmm_take_ram(vmm: *mut Vmm, index: u32) -> c_int;
        pub fn baton_vmm_take_named(vmm: *mut Vmm, name: *const c_char) -> c_int;
        pub fn baton_vmm_ready(vmm: *mut Vmm, vm: c_int) -> c_int;
        pub fn baton_vmm_decline(vmm: *mut Vmm, text: *const c_char) -> c_int;
        pub fn baton_vmm_claim_state(vmm: *mut Vmm, state: *mut c_void, size: usize) -> i64;
        pub fn baton_vmm_claim_token(vmm: *mut Vmm, token: *mut u64) -> c_int;
        pub fn baton_vmm_context_vm(vmm: *mut Vmm, index: u32) -> c_int;
        pub fn baton_vmm_received(vmm: *mut Vmm) -> c_int;
        pub fn baton_vmm_found_used(vmm: *mut Vmm) -> c_int;
        pub fn baton_vmm_give_back(vmm: *mut Vmm) -> c_int;
        pub fn baton_vmm_running(vmm: *mut Vmm, guest: *const Guest, first_instruction: u64) -> c_int;
        pub fn baton_vmm_offer(vmm: *mut Vmm, guest: *const Guest) -> c_int;
        pub fn baton_vmm_report(vmm: *mut Vmm, checks: *const Check, count: usize) -> c_int;
        pub fn baton_vmm_park(vmm: *mut Vmm) -> c_int;
        pub fn baton_vmm_froze(vmm: *mut Vmm) -> c_int;
        pub fn baton_vmm_gave_up_context(vmm: *mut Vmm) -> c_int;
        pub fn baton_vmm_resume(vmm: *mut Vmm) -> c_int;
        pub fn baton_vmm_stage(
            vmm: *mut Vmm, state: *const c_void, size: usize, token: *const u64, last_instruction: u64,
        ) -> c_int;
        pub fn baton_vmm_took_back(vmm: *mut Vmm, outcome: c_int) -> c_int;
        pub fn baton_vmm_end(vmm: *mut Vmm) -> c_int;
    }

    #[repr(C)]
    pub struct Setup {
        pub ram_size: u64,
        pub vcpu_count: u32,
        pub vcpu_kind: u32,
        pub duty_percent: u32,
        pub way: u32,
        pub has_encrypted_state: u32,
        pub reserved: u32,
        pub console: *const c_char,
        pub disk: *const c_char,
    }

    #[repr(C)]
    pub struct Options {
        pub machine: Setup,
        pub guest: *const c_char,
        pub registry: *const c_char,
        pub events: *const c_char,
        pub gives_custody: c_int,
        /* What guest_vmm.c alone does. */
        pub migration: [usize; 7],
    }

    #[repr(C)]
    pub struct Parts {
        pub ram_size: u64,
        pub vcpu_count: u32,
        pub way: u32,
        pub ram: i32,
        pub console: i32,
        pub disk: i32,
        pub populates: u32,
        pub details_size: u32,
        pub details: *const c_void,
    }

    #[repr(C)]
    #[derive(Default)]
    pub struct Facts {
        pub ram_size: u64,
        pub features: u64,
        pub vcpu_count: u32,
        pub way: u32,
        pub ram: i32,
        pub console: i32,
        pub disk: i32,
        pub vm: i32,
        pub take_back_vm: i32,
        pub details_size: u32,
        pub details: [u8; 32],
    }

    #[link(name = "machine", kind = "static")]
    extern "C" {
        pub fn options_read(options: *mut Options, count: c_int, arguments: *const *const c_char) -> c_int;
        pub fn options_open_events(options: *const Options) -> c_int;
        pub fn options_occupy_standard_numbers();
        pub fn machine_new_guest(setup: *const Setup, machine: *mut *mut Machine) -> c_int;
        pub fn machine_new_successor(setup: *const Setup, parts: *const Parts, machine: *mut *mut Machine) -> c_int;
        pub fn machine_free(machine: *mut Machine);
        pub fn machine_describe(machine: *const Machine, facts: *mut Facts);
        pub fn machine_report(machine: *const Machine, text: *mut c_char, size: u64);
        pub fn machine_retire(machine: *mut Machine);
        pub fn machine_run(machine: *mut Machine) -> c_int;
        pub fn machine_first_instruction(machine: *mut Machine, timeout_ns: u64) -> u64;
        pub fn machine_stop(machine: *mut Machine) -> u64;
        pub fn machine_save(machine: *mut Machine, state: *mut c_void, size: u64) -> i64;
        pub fn machine_check_state(machine: *const Machine, state: *const c_void, size: u64) -> c_int;
        pub fn machine_restore(machine: *mut Machine, state: *const c_void, size: u64) -> c_int;
        pub fn machine_send(machine: *mut Machine, token: *mut u64) -> c_int;
        pub fn machine_receive(machine: *mut Machine, token: u64, vms: *const i32, vm_count: u32) -> c_int;
        pub fn machine_prepare_take_back(machine: *mut Machine) -> c_int;
        pub fn machine_drop_take_back(machine: *mut Machine);
        pub fn machine_take_back(machine: *mut Machine, token: u64, vms: *const i32, vm_count: u32) -> c_int;
        pub fn now() -> u64;
    }

    pub const SIGHUP: u32 = 1;
    pub const SIGINT: u32 = 2;
    pub const SIGUSR1: u32 = 10;
    pub const SIGTERM: u32 = 15;

    #[repr(C)]
    pub struct PollFd {
        pub fd: c_int,
        pub events: i16,
        pub revents: i16,
    }

    #[repr(C)]
    pub struct SignalSet {
        pub words: [u64; 16],
    }

    extern "C" {
        pub fn poll(fds: *mut PollFd, count: u64, timeout: c_int) -> c_int;
        pub fn sigemptyset(set: *mut SignalSet) -> c_int;
        pub fn sigaddset(set: *mut SignalSet, number: c_int) -> c_int;
        pub fn sigprocmask(how: c_int, set: *const SignalSet, old: *mut SignalSet) -> c_int;
        pub fn signalfd(fd: c_int, set: *const SignalSet, flags: c_int) -> c_int;
        pub fn read(fd: c_int, buffer: *mut c_void, size: usize) -> isize;
    }
}

/// Why this process cannot go on, and the status to end with.
struct Failed {
    text: String,
    status: i32,
}

impl Failed {
    fn new(text: &str) -> Failed {
        Failed { text: text.into(), status: 1 }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

type Outcome = Result<(), Failed>;

/// A handle that frees itself.
struct Handle(*mut ffi::Vmm);

impl Handle {
    fn new(options: &ffi::Options) -> Result<Handle, Failed> {
        let identity = ffi::Identity {
            struct_size: mem::size_of::<ffi::Identity>(),
            registry: options.registry,
            guest: options.guest,
            build: c_text!("guest_vmm.rs 1"),
            format_name: c_text!("baton-vmm"),
            format_oldest: 1,
            format_newest: 2,
            is_fresh: 0,
            format_features: 31,
        };
        let mut vmm = ptr::null_mut();
        match unsafe { ffi::baton_vmm_new(&identity, &mut vmm) } {
            0 => Ok(Handle(vmm)),
            error => Err(Failed::new(&format!("making a handle: errno {}", -error))),
        }
    }

    fn check(&self, what: &str, result: i64) -> Result<i64, Failed> {
        if result >= 0 {
            return Ok(result);
        }
        let mut failure =
            ffi::Failure { struct_size: mem::size_of::<ffi::Failure>(), error: 0, refusal: 0, text: [0; 512] };
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

/// A machine that frees itself.
struct Machine(*mut ffi::Machine);

impl Machine {
    fn facts(&self) -> ffi::Facts {
        let mut facts = ffi::Facts::default();
        unsafe { ffi::machine_describe(self.0, &mut facts) };
        facts
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        unsafe { ffi::machine_free(self.0) }
    }
}

/// The way `token` baton: overwritten as soon as it is not needed.
#[derive(Default)]
struct Secret(u64);

impl Secret {
    fn wipe(&mut self) {
        unsafe { ptr::write_volatile(&mut self.0, 0) }
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.wipe()
    }
}

struct GuestVmm {
    handle: Handle,
    machine: Option<Machine>,
    others: Vec<(CString, OwnedFd)>,
    state: Vec<u8>,
    state_size: usize,
    token: Secret,
    offered_way: u32,
    is_running: bool,
    status: i32,
    options: ffi::Options,
    events: Option<File>,
    signals: OwnedFd,
}

impl GuestVmm {
    /// One JSON line a moment; numbers and names only.
    fn tell(&mut self, event: &str, fields: &str) {
        let (pid, at) = (process::id(), unsafe { ffi::now() });
        if let Some(file) = &mut self.events {
            let line = format!("{{\"event\":\"{event}\",\"pid\":{pid},\"at\":{at}{fields}}}\n");
            if file.write_all(line.as_bytes()).is_err() {
                eprintln!("guest-vmm: an event cannot be written");
            }
        }
    }

    fn machine(&self) -> Result<&Machine, Failed> {
        self.machine.as_ref().ok_or_else(|| Failed::new("there is no machine yet"))
    }

    /// Calls with what describes the guest, which lives as long as the call.
    fn with_guest(&self, what: &str, call: impl Fn(*const ffi::Guest) -> c_int) -> Outcome {
        let facts = self.machine()?.facts();
        let region = ffi::Region { byte_count: facts.ram_size, ..Default::default() };
        let mut names: Vec<*const c_char> = Vec::new();
        let mut files: Vec<c_int> = Vec::new();
        for (name, file) in [(c_text!("console"), facts.console), (c_text!("disk"), facts.disk)] {
            if file >= 0 {
                names.push(name);
                files.push(file);
            }
        }
        for (name, file) in &self.others {
            names.push(name.as_ptr());
            files.push(file.as_raw_fd());
        }
        let gives = self.options.gives_custody != 0;
        let is_move = facts.way == ffi::WAY_MOVE;
        let guest = ffi::Guest {
            struct_size: mem::size_of::<ffi::Guest>(),
            way: facts.way,
            vcpu_count: facts.vcpu_count,
            ram_count: 1,
            region_count: 1,
            named_count: names.len() as u32,
            reserved: 0,
            ram: &facts.ram,
            regions: &region,
            names: names.as_ptr(),
            named: files.as_ptr(),
            vm: if gives || is_move { facts.vm } else { -1 },
            take_back_vm: if gives && is_move { facts.take_back_vm } else { -1 },
            format_name: c_text!("baton-vmm"),
            format_version: 2,
            reserved2: 0,
            details_size: facts.details_size,
            format_features: facts.features,
            details: facts.details.as_ptr().cast(),
        };
        self.handle.check(what, call(&guest).into()).map(drop)
    }

    fn context_vms(&self) -> Vec<i32> {
        let vm = |index| unsafe { ffi::baton_vmm_context_vm(self.handle.0, index) };
        (0..).map(vm).take_while(|vm| *vm >= 0).collect()
    }

    // The verdict: the only way to a running guest.
    fn run(&mut self, event: &ffi::Event) -> Outcome {
        let vmm = self.handle.0;
        if event.kind == ffi::START {
            let mut made = ptr::null_mut();
            if unsafe { ffi::machine_new_guest(&self.options.machine, &mut made) } < 0 {
                return Err(Failed::new("the guest cannot be made"));
            }
            self.machine = Some(Machine(made));
        }
        let machine = self.machine()?.0;
        self.handle.check("running the guest", unsafe { ffi::baton_vmm_may_run(vmm) }.into())?;
        if unsafe { ffi::machine_run(machine) } < 0 {
            return Err(Failed::new("the guest cannot run"));
        }
        let first = unsafe { ffi::machine_first_instruction(machine, 1_000_000_000) };
        self.with_guest("saying that the guest runs", |guest| unsafe { ffi::baton_vmm_running(vmm, guest, first) })?;
        self.is_running = true;
        self.token.wipe();
        unsafe { ffi::machine_drop_take_back(machine) };
        self.tell("running", &format!(",\"epoch\":{},\"firstInstruction\":{first}", event.epoch));
        Ok(())
    }

    // Successor.

    fn prepare_to_take(&mut self) -> Outcome {
        let vmm = self.handle.0;
        self.machine = None;
        self.others.clear();
        let mut offer = ffi::Offer { struct_size: mem::size_of::<ffi::Offer>(), ..Default::default() };
        self.handle.check("reading the offer", unsafe { ffi::baton_vmm_offer_get(vmm, &mut offer) }.into())?;
        let (mut console, mut disk) = (-1, -1);
        for index in 0..offer.named_count {
            let mut name = [0 as c_char; 129];
            let length = unsafe { ffi::baton_vmm_offer_name(vmm, index, name.as_mut_ptr(), name.len()) };
            self.handle.check("reading a name", length.into())?;
            let taken = unsafe { ffi::baton_vmm_take_named(vmm, name.as_ptr()) };
            let taken = self.handle.check("taking a descriptor", taken.into())?;
            let file = unsafe { OwnedFd::from_raw_fd(taken as c_int) };
            let name = unsafe { CStr::from_ptr(name.as_ptr()) };
            match name.to_bytes() {
                b"console" => console = file.into_raw_fd(),
                b"disk" => disk = file.into_raw_fd(),
                _ => self.others.push((name.to_owned(), file)),
            }
        }
        let mut region = ffi::Region::default();
        self.handle.check("reading a region", unsafe { ffi::baton_vmm_offer_region(vmm, 0, &mut region) }.into())?;
        let mut details = vec![0u8; offer.details_size as usize + 1];
        let size = unsafe { ffi::baton_vmm_offer_details(vmm, details.as_mut_ptr().cast(), details.len()) };
        self.handle.check("reading the details", size.into())?;
        self.offered_way = offer.way;
        let ram = self.handle.check("taking RAM", unsafe { ffi::baton_vmm_take_ram(vmm, 0) }.into())?;
        let is_simple = offer.ram_count == 1 && offer.region_count == 1;
        let parts = ffi::Parts {
            ram_size: if is_simple { region.byte_count } else { 0 },
            vcpu_count: offer.vcpu_count,
            way: offer.way,
            ram: ram as i32,
            console,
            disk,
            populates: (offer.is_stopped == 0).into(),
            details_size: offer.details_size,
            details: details.as_ptr().cast(),
        };
        let mut made = ptr::null_mut();
        if unsafe { ffi::machine_new_successor(&self.options.machine, &parts, &mut made) } < 0 {
            self.status = 1;
            let why = c_text!("this VMM cannot make a machine for the guest");
            return self.handle.check("declining", unsafe { ffi::baton_vmm_decline(vmm, why) }.into()).map(drop);
        }
        let machine = Machine(made);
        let gives = offer.way == ffi::WAY_MOVE && self.options.gives_custody != 0;
        let vm = if gives { machine.facts().vm } else { -1 };
        self.machine = Some(machine);
        self.handle.check("saying ready", unsafe { ffi::baton_vmm_ready(vmm, vm) }.into()).map(drop)
    }

    fn receive(&mut self) -> Outcome {
        let vmm = self.handle.0;
        let machine = self.machine()?.0;
        let vms = self.context_vms();
        let size = unsafe { ffi::baton_vmm_claim_state(vmm, self.state.as_mut_ptr().cast(), self.state.len()) };
        let state: *const c_void = self.state.as_ptr().cast();
        if size < 0 || unsafe { ffi::machine_check_state(machine, state, size as u64) } < 0 {
            let result = unsafe { ffi::baton_vmm_give_back(vmm) };
            return self.handle.check("giving the baton back", result.into()).map(drop);
        }
        let mut token = Secret::default();
        if self.offered_way == ffi::WAY_TOKEN {
            self.handle.check("reading the baton", unsafe { ffi::baton_vmm_claim_token(vmm, &mut token.0) }.into())?;
        }
        match unsafe { ffi::machine_receive(machine, token.0, vms.as_ptr(), vms.len() as u32) } {
            ffi::TAKEN => {}
            ffi::USED => {
                let result = unsafe { ffi::baton_vmm_found_used(vmm) };
                return self.handle.check("saying that the baton is used", result.into()).map(drop);
            }
            ffi::UNTOUCHED => {
                let result = unsafe { ffi::baton_vmm_give_back(vmm) };
                return self.handle.check("giving the baton back", result.into()).map(drop);
            }
            _ => return Err(Failed::new("nobody can say whether the context was taken; ask batonctl show")),
        }
        if unsafe { ffi::machine_restore(machine, state, size as u64) } < 0 {
            return Err(Failed::new("the state cannot be restored; ask batonctl where the guest is"));
        }
        self.handle.check("saying received", unsafe { ffi::baton_vmm_received(vmm) }.into()).map(drop)
    }

    // Owner.

    fn offer(&mut self) -> Outcome {
        let vmm = self.handle.0;
        if unsafe { ffi::machine_prepare_take_back(self.machine()?.0) } < 0 {
            let why = c_text!("no VM to take the guest back into");
            return self.handle.check("declining", unsafe { ffi::baton_vmm_decline(vmm, why) }.into()).map(drop);
        }
        self.with_guest("offering the guest", |guest| unsafe { ffi::baton_vmm_offer(vmm, guest) })
    }

    fn go_on(&mut self, problem: &str) -> Outcome {
        eprintln!("guest-vmm: {problem}; the guest goes on here");
        self.handle.check("going on", unsafe { ffi::baton_vmm_resume(self.handle.0) }.into())?;
        if unsafe { ffi::machine_run(self.machine()?.0) } < 0 {
            return Err(Failed::new("the guest cannot run"));
        }
        self.is_running = true;
        Ok(())
    }

    fn take_context_back(&mut self) -> Result<c_int, Failed> {
        let vms = self.context_vms();
        let machine = self.machine()?;
        let taking = unsafe { ffi::machine_take_back(machine.0, self.token.0, vms.as_ptr(), vms.len() as u32) };
        let state = self.state.as_ptr().cast();
        if taking == ffi::TAKEN
            && machine.facts().way != ffi::WAY_NONE
            && unsafe { ffi::machine_restore(machine.0, state, self.state_size as u64) } < 0
        {
            return Err(Failed::new("the guest was taken back and its state cannot be restored; ask batonctl show"));
        }
        Ok(taking)
    }

    fn hand_over(&mut self) -> Outcome {
        let vmm = self.handle.0;
        let machine = self.machine()?.0;
        let last = unsafe { ffi::machine_stop(machine) };
        self.is_running = false;
        self.handle.check("freezing", unsafe { ffi::baton_vmm_froze(vmm) }.into())?;
        let size = unsafe { ffi::machine_save(machine, self.state.as_mut_ptr().cast(), self.state.len() as u64) };
        if size < 0 {
            return self.go_on("the guest's state cannot be saved");
        }
        self.state_size = size as usize;
        let is_token = self.machine()?.facts().way == ffi::WAY_TOKEN;
        if is_token {
            if unsafe { ffi::machine_send(machine, &mut self.token.0) } < 0 {
                return self.go_on("LOCAL_SEND failed");
            }
            self.handle.check("giving the context up", unsafe { ffi::baton_vmm_gave_up_context(vmm) }.into())?;
        }
        let token = if is_token { &self.token.0 as *const u64 } else { ptr::null() };
        let result =
            unsafe { ffi::baton_vmm_stage(vmm, self.state.as_ptr().cast(), self.state_size, token, last) };
        // Still frozen: nothing has left this process.
        if result < 0
            && unsafe { ffi::baton_vmm_state(vmm) } == ffi::STATE_FROZEN
            && self.take_context_back()? == ffi::TAKEN
        {
            return self.go_on("the guest was not staged");
        }
        self.handle.check("staging", result.into())?;
        self.tell("staged", &format!(",\"lastInstruction\":{last}"));
        Ok(())
    }

    fn take_back(&mut self) -> Outcome {
        let outcome = match self.take_context_back()? {
            ffi::TAKEN => 1,
            ffi::USED => 0,
            // Neither is known: nothing is said, and the registry calls an operator.
            _ => return Ok(()),
        };
        if outcome == 1 {
            self.tell("tookBack", "");
        }
        let result = unsafe { ffi::baton_vmm_took_back(self.handle.0, outcome) };
        self.handle.check("answering the order", result.into()).map(drop)
    }

    fn released(&mut self, event: &ffi::Event) {
        // The successor's vCPUs are just being woken.
        thread::sleep(time::Duration::from_millis(10));
        self.is_running = false;
        if event.refusal != 0 {
            let sentence = unsafe { CStr::from_ptr(ffi::baton_refusal_sentence(event.refusal)) };
            eprintln!("guest-vmm: released: {}", sentence.to_string_lossy());
            self.status = unsafe { ffi::baton_refusal_exit_status(event.refusal) };
        }
        self.tell("released", "");
    }

    /// False when this process has nothing to do with the guest any more.
    fn carry_out(&mut self, event: &ffi::Event) -> Result<bool, Failed> {
        match event.kind {
            ffi::START | ffi::RUN => self.run(event)?,
            ffi::OFFERED => self.prepare_to_take()?,
            ffi::CLAIM => self.receive()?,
            ffi::PREPARE => self.offer()?,
            ffi::FREEZE => self.hand_over()?,
            ffi::ATTEMPT_OVER => unsafe { ffi::machine_drop_take_back(self.machine()?.0) },
            ffi::PREFLIGHT => {
                let way = ffi::Check {
                    name: c_text!("way"),
                    detail: c_text!("as --sev says"),
                    remedy: ptr::null(),
                    verdict: 0,
                    reserved: 0,
                };
                let result = unsafe { ffi::baton_vmm_report(self.handle.0, &way, 1) };
                self.handle.check("reporting", result.into())?;
            }
            ffi::TAKE_BACK => self.take_back()?,
            ffi::ALARM => eprintln!("guest-vmm: the registry is gone or silent; the guest waits paused here"),
            ffi::RELEASED => {
                self.released(event);
                return Ok(false);
            }
            _ => {} // of a later version of the library
        }
        Ok(true)
    }

    fn report(&mut self) -> Outcome {
        let mut text = [0 as c_char; 1536];
        unsafe { ffi::machine_report(self.machine()?.0, text.as_mut_ptr(), text.len() as u64) };
        let text = unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy();
        self.tell("report", &format!(",\"report\":{text}"));
        Ok(())
    }

    /// False when the guest was ended.
    fn obey(&mut self, number: u32) -> Result<bool, Failed> {
        let vmm = self.handle.0;
        match (self.is_running, number) {
            // Of a guest that stands still too; before the offer there is none.
            (_, ffi::SIGUSR1) => {
                if self.machine.is_some() {
                    self.report()?
                }
            }
            (true, ffi::SIGHUP) => {
                self.handle.check("asking for custody", unsafe { ffi::baton_vmm_park(vmm) }.into())?;
            }
            (true, _) => {
                unsafe { ffi::machine_retire(self.machine()?.0) };
                self.report()?;
                self.handle.check("ending the guest", unsafe { ffi::baton_vmm_end(vmm) }.into())?;
                self.tell("ended", "");
                return Ok(false);
            }
            (false, ffi::SIGHUP) => {}
            // Not the owner yet: it just goes. While it may have the guest's context it must wait for the verdict.
            (false, _) => return Ok(unsafe { ffi::baton_vmm_state(vmm) } >= ffi::STATE_CLAIMING),
        }
        Ok(true)
    }

    fn live(&mut self) -> Outcome {
        let mut event = ffi::Event { struct_size: mem::size_of::<ffi::Event>(), ..Default::default() };
        loop {
            let found = unsafe { ffi::baton_vmm_process(self.handle.0, &mut event) };
            if self.handle.check("listening to the registry", found.into())? > 0 {
                if !self.carry_out(&event)? {
                    return Ok(());
                }
                continue;
            }
            let registry = unsafe { ffi::baton_vmm_descriptor(self.handle.0) };
            let mut ready = [self.signals.as_raw_fd(), registry].map(|fd| ffi::PollFd { fd, events: 1, revents: 0 });
            unsafe { ffi::poll(ready.as_mut_ptr(), 2, if registry < 0 { 50 } else { 1000 }) };
            // struct signalfd_siginfo: 128 bytes, the number first.
            let mut signal = [0u32; 32];
            if ready[0].revents & 1 != 0
                && unsafe { ffi::read(ready[0].fd, signal.as_mut_ptr().cast(), 128) } == 128
                && !self.obey(signal[0])?
            {
                return Ok(());
            }
        }
    }
}

/// Blocked before there are threads, which inherit it.
fn signals() -> OwnedFd {
    let mut wanted = ffi::SignalSet { words: [0; 16] };
    unsafe {
        ffi::sigemptyset(&mut wanted);
        for number in [ffi::SIGTERM, ffi::SIGINT, ffi::SIGHUP, ffi::SIGUSR1] {
            ffi::sigaddset(&mut wanted, number as c_int);
        }
        ffi::sigprocmask(0, &wanted, ptr::null_mut()); // SIG_BLOCK
        OwnedFd::from_raw_fd(ffi::signalfd(-1, &wanted, 0o2004000)) // SFD_CLOEXEC | SFD_NONBLOCK
    }
}

fn run(options: ffi::Options) -> Result<i32, Failed> {
    let signals = signals();
    unsafe { ffi::options_occupy_standard_numbers() };
    let events = unsafe { ffi::options_open_events(&options) };
    let mut vmm = GuestVmm {
        handle: Handle::new(&options)?,
        machine: None,
        others: Vec::new(),
        state: vec![0; ffi::MOST_STATE],
        state_size: 0,
        token: Secret::default(),
        offered_way: 0,
        is_running: false,
        status: 0,
        events: if events < 0 { None } else { Some(unsafe { File::from_raw_fd(events) }) },
        signals,
        options,
    };
    vmm.handle.check("coming to the registry", unsafe { ffi::baton_vmm_connect(vmm.handle.0, 60_000) }.into())?;
    vmm.live()?;
    Ok(vmm.status)
}

fn main() {
    let arguments: Vec<CString> = env::args().filter_map(|text| CString::new(text).ok()).collect();
    let pointers: Vec<*const c_char> = arguments.iter().map(|text| text.as_ptr()).collect();
    let mut options = mem::MaybeUninit::<ffi::Options>::uninit();
    if unsafe { ffi::options_read(options.as_mut_ptr(), pointers.len() as c_int, pointers.as_ptr()) } < 0 {
        process::exit(64);
    }
    let status = run(unsafe { options.assume_init() }).unwrap_or_else(|failed| {
        eprintln!("guest-vmm: {failed}");
        failed.status
    });
    process::exit(status);
}
