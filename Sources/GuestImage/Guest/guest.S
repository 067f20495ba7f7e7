# The reference guest for KVM: a small program in long mode, without an operating system.
#
# It is entered by the VMM in 64-bit mode with paging on, one stack a vCPU, interrupts off, and
#   rdi = index of this vCPU.
# What it does and where it reports is described in GuestABI.swift; the constants below are the
# same numbers (a test compares them). Registers while it runs:
#   rbx  header page          rbp  this vCPU's page      r11  checksum multiplier
#   r12  index of the next page     r13  generation (pass over the pages)
#   r14  last stamp (TSC)     r15  counter
#
# Every instruction may cost two microseconds where KVM emulates the guest, and such a KVM knows
# few of them: no SSE, popcnt, crc32 or rdtscp in here.

.intel_syntax noprefix
.code64

.set IMAGE_BASE,               0x40000
.set HEADER,                   0x1000
.set VCPU_PAGES,               0x2000
.set KVMCLOCK_PAGE,            0x3E000

.set HEADER_TICK_KILOHERTZ,    0x20
.set HEADER_FIRST_PAGE,        0x28
.set HEADER_PAGE_STRIDE,       0x30
.set HEADER_PAGE_COUNT,        0x38
.set HEADER_LOW_BYTES,         0x40
.set HEADER_HOLE_BYTES,        0x48
.set HEADER_VCPU_COUNT,        0x18
.set HEADER_CONSOLE_INTERVAL,  0x50
.set HEADER_DISK_INTERVAL,     0x58
.set HEADER_TIMER_PERIOD,      0x60
.set HEADER_PACING,            0x68
.set HEADER_HAS_KVMCLOCK,      0x70
.set HEADER_CONSOLE_SEQUENCE,  0x100
.set HEADER_DISK_SEQUENCE,     0x108
.set HEADER_CONSOLE_STAMP,     0x110
.set HEADER_DISK_STAMP,        0x118
.set HEADER_BOARD_TICKS,       0x120
.set HEADER_FAULT,             0x128
.set HEADER_CLOCK_SAMPLES,     0x140
.set HEADER_CLOCK_BASE,        0x148
.set HEADER_CLOCK_TICK_BASE,   0x150
.set HEADER_CLOCK_LAST,        0x158
.set HEADER_CLOCK_LAG,         0x160
.set HEADER_CLOCK_LARGEST_LAG, 0x168
.set HEADER_CLOCK_BACKWARDS,   0x170
.set HEADER_CONSOLE_LINE,      0x200
.set CONSOLE_LINE_BYTES,       19
.set CONSOLE_LAST_DIGIT,       0x211

.set VCPU_STARTED,             0x00
.set VCPU_COUNTER,             0x08
.set VCPU_CURSOR,              0x10
.set VCPU_GENERATION,          0x18
.set VCPU_PAGES_WRITTEN,       0x20
.set VCPU_PAGES_CHECKED,       0x28
.set VCPU_PAGE_ERRORS,         0x30
.set VCPU_FIRST_BAD_PAGE,      0x38
.set VCPU_LAST_STAMP,          0x40
.set VCPU_LARGEST_GAP,         0x48
.set VCPU_GAP_BEGIN,           0x50
.set VCPU_GAP_END,             0x58
.set VCPU_TIMER_TICKS,         0x60
.set VCPU_MISMATCHES,          0x68
.set VCPU_BACKWARDS,           0x78
.set VCPU_INDEX,               0x80

.set PAGE_INDEX,               0
.set PAGE_GENERATION,          8
.set PAGE_MIDDLE,              2048
.set PAGE_CHECKSUM,            4088

.set CONSOLE_PORT,             0x3F8
.set DISK_PORT,                0x510

.set LAPIC,                    0xFEE00000
.set IOAPIC,                   0xFEC00000
.set TIMER_VECTOR,             0x30
.set BOARD_VECTOR,             0x31
.set BOARD_TIMER_DIVISOR,      11932       # 1,193,182 Hz / 11932 = 100 Hz

.section .text
.global _start
image:
_start:
    mov     ebx, HEADER
    mov     rbp, rdi
    shl     rbp, 12
    add     rbp, VCPU_PAGES
    mov     [rbp + VCPU_INDEX], rdi
    movabs  r11, 0x9E3779B97F4A7C15
    mov     r12, rdi
    mov     r13d, 1
    xor     r14d, r14d
    xor     r15d, r15d
    mov     [rbp + VCPU_CURSOR], r12
    mov     [rbp + VCPU_GENERATION], r13

    # Local APIC: enable with spurious vector 0xFF, timer periodic at one tick a nanosecond.
    mov     eax, LAPIC
    mov     dword ptr [rax + 0xF0], 0x1FF
    mov     dword ptr [rax + 0x80], 0
    mov     dword ptr [rax + 0x3E0], 0xB
    mov     dword ptr [rax + 0x320], 0x20000 | TIMER_VECTOR
    mov     rcx, [rbx + HEADER_TIMER_PERIOD]
    mov     dword ptr [rax + 0x380], ecx

    test    rdi, rdi
    jnz     started

    # The boot vCPU owns the board: PICs masked, PIT channel 0 at 100 Hz through IOAPIC pin 0.
    mov     al, 0xFF
    out     0x21, al
    out     0xA1, al
    mov     eax, IOAPIC
    mov     dword ptr [rax], 0x11
    mov     dword ptr [rax + 0x10], 0
    mov     dword ptr [rax], 0x10
    mov     dword ptr [rax + 0x10], BOARD_VECTOR
    mov     al, 0x34
    out     0x43, al
    mov     al, BOARD_TIMER_DIVISOR & 0xFF
    out     0x40, al
    mov     al, BOARD_TIMER_DIVISOR >> 8
    out     0x40, al

    cmp     qword ptr [rbx + HEADER_HAS_KVMCLOCK], 0
    je      started
    mov     ecx, 0x4B564D01                 # MSR_KVM_SYSTEM_TIME_NEW
    mov     eax, KVMCLOCK_PAGE | 1
    xor     edx, edx
    wrmsr

started:
    mov     qword ptr [rbp + VCPU_STARTED], 1
    sti

iteration:
    # The gap between this iteration and the one before.
    rdtsc
    shl     rdx, 32
    or      rax, rdx
    test    r14, r14
    jz      stamped
    mov     rcx, rax
    sub     rcx, r14
    jb      backwards
    cmp     rcx, [rbp + VCPU_LARGEST_GAP]
    jbe     stamped
    mov     [rbp + VCPU_LARGEST_GAP], rcx
    mov     [rbp + VCPU_GAP_BEGIN], r14
    mov     [rbp + VCPU_GAP_END], rax
    jmp     stamped
backwards:
    inc     qword ptr [rbp + VCPU_BACKWARDS]
stamped:
    mov     r14, rax
    mov     [rbp + VCPU_LAST_STAMP], rax

    # Registers and memory must agree on where we are: one of them alone cannot be old.
    cmp     [rbp + VCPU_COUNTER], r15
    jne     disagree
    cmp     [rbp + VCPU_CURSOR], r12
    jne     disagree
    cmp     [rbp + VCPU_GENERATION], r13
    je      agree
disagree:
    inc     qword ptr [rbp + VCPU_MISMATCHES]
agree:
    inc     r15
    mov     [rbp + VCPU_COUNTER], r15

    # Address of the page: above the low memory lies a hole for devices.
    mov     r10, r12
    imul    r10, [rbx + HEADER_PAGE_STRIDE]
    add     r10, [rbx + HEADER_FIRST_PAGE]
    mov     r9, r10                         # offset in RAM, for the report
    cmp     r10, [rbx + HEADER_LOW_BYTES]
    jb      addressed
    add     r10, [rbx + HEADER_HOLE_BYTES]
addressed:

    # Check what the pass before wrote: exactly its generation, not an older one.
    mov     rax, r13
    dec     rax
    jz      write
    cmp     [r10 + PAGE_INDEX], r12
    jne     bad
    cmp     [r10 + PAGE_GENERATION], rax
    jne     bad
    shl     rax, 32
    xor     rax, r12
    imul    rax, r11
    cmp     [r10 + PAGE_CHECKSUM], rax
    jne     bad
    not     rax
    cmp     [r10 + PAGE_MIDDLE], rax
    jne     bad
    inc     qword ptr [rbp + VCPU_PAGES_CHECKED]
    jmp     write
bad:
    cmp     qword ptr [rbp + VCPU_PAGE_ERRORS], 0
    jne     counted
    mov     [rbp + VCPU_FIRST_BAD_PAGE], r9
counted:
    inc     qword ptr [rbp + VCPU_PAGE_ERRORS]

write:
    mov     [r10 + PAGE_INDEX], r12
    mov     [r10 + PAGE_GENERATION], r13
    mov     rax, r13
    shl     rax, 32
    xor     rax, r12
    imul    rax, r11
    mov     [r10 + PAGE_CHECKSUM], rax
    not     rax
    mov     [r10 + PAGE_MIDDLE], rax
    inc     qword ptr [rbp + VCPU_PAGES_WRITTEN]

    # The next page of this vCPU's share, or the first one of the next pass.
    add     r12, [rbx + HEADER_VCPU_COUNT]
    cmp     r12, [rbx + HEADER_PAGE_COUNT]
    jb      advanced
    mov     r12, [rbp + VCPU_INDEX]
    inc     r13
    mov     [rbp + VCPU_GENERATION], r13
advanced:
    mov     [rbp + VCPU_CURSOR], r12

    # Console, disk and clocks belong to the boot vCPU.
    cmp     qword ptr [rbp + VCPU_INDEX], 0
    jne     pace

    mov     rax, r14
    sub     rax, [rbx + HEADER_CONSOLE_STAMP]
    cmp     rax, [rbx + HEADER_CONSOLE_INTERVAL]
    jb      console_done
    mov     [rbx + HEADER_CONSOLE_STAMP], r14
    mov     esi, HEADER + HEADER_CONSOLE_LINE
    mov     ecx, CONSOLE_LINE_BYTES
    mov     edx, CONSOLE_PORT
    cld
    rep     outsb
    inc     qword ptr [rbx + HEADER_CONSOLE_SEQUENCE]
    mov     edi, HEADER + CONSOLE_LAST_DIGIT
digit:
    inc     byte ptr [rdi]
    cmp     byte ptr [rdi], '9'
    jbe     console_done
    mov     byte ptr [rdi], '0'
    dec     rdi
    jmp     digit
console_done:

    cmp     qword ptr [rbx + HEADER_DISK_INTERVAL], 0
    je      disk_done
    mov     rax, r14
    sub     rax, [rbx + HEADER_DISK_STAMP]
    cmp     rax, [rbx + HEADER_DISK_INTERVAL]
    jb      disk_done
    mov     [rbx + HEADER_DISK_STAMP], r14
    mov     rax, [rbx + HEADER_DISK_SEQUENCE]
    mov     edx, DISK_PORT
    out     dx, eax
    inc     qword ptr [rbx + HEADER_DISK_SEQUENCE]
disk_done:

    # kvmclock against the TSC, every eighth iteration.
    test    r15, 7
    jnz     pace
    cmp     qword ptr [rbx + HEADER_HAS_KVMCLOCK], 0
    je      pace
read_clock:
    mov     r8d, [KVMCLOCK_PAGE]
    test    r8d, 1
    jnz     read_clock
    rdtsc
    shl     rdx, 32
    or      rax, rdx
    mov     rsi, rax
    sub     rax, [KVMCLOCK_PAGE + 8]
    movsx   ecx, byte ptr [KVMCLOCK_PAGE + 28]
    test    ecx, ecx
    js      shift_right
    shl     rax, cl
    jmp     shifted
shift_right:
    neg     ecx
    shr     rax, cl
shifted:
    mov     edx, [KVMCLOCK_PAGE + 24]
    mul     rdx
    shrd    rax, rdx, 32
    add     rax, [KVMCLOCK_PAGE + 16]
    cmp     r8d, [KVMCLOCK_PAGE]
    jne     read_clock
    mov     r9, rax                         # kvmclock in nanoseconds; rsi = its TSC

    inc     qword ptr [rbx + HEADER_CLOCK_SAMPLES]
    cmp     qword ptr [rbx + HEADER_CLOCK_TICK_BASE], 0
    jne     compare_clocks
    mov     [rbx + HEADER_CLOCK_BASE], r9
    mov     [rbx + HEADER_CLOCK_TICK_BASE], rsi
compare_clocks:
    cmp     r9, [rbx + HEADER_CLOCK_LAST]
    jae     clock_forward
    inc     qword ptr [rbx + HEADER_CLOCK_BACKWARDS]
clock_forward:
    mov     [rbx + HEADER_CLOCK_LAST], r9
    mov     rax, rsi
    sub     rax, [rbx + HEADER_CLOCK_TICK_BASE]
    mov     ecx, 1000000
    mul     rcx
    div     qword ptr [rbx + HEADER_TICK_KILOHERTZ]
    sub     r9, [rbx + HEADER_CLOCK_BASE]
    sub     rax, r9                         # lag: TSC time passed minus kvmclock time passed
    mov     [rbx + HEADER_CLOCK_LAG], rax
    test    rax, rax
    jns     lag_positive
    neg     rax
lag_positive:
    cmp     rax, [rbx + HEADER_CLOCK_LARGEST_LAG]
    jbe     pace
    mov     [rbx + HEADER_CLOCK_LARGEST_LAG], rax

pace:
    # Paced guests sleep until the next timer tick.
    cmp     qword ptr [rbx + HEADER_PACING], 0
    je      iteration
    hlt
    jmp     iteration

timer_interrupt:
    inc     qword ptr [rbp + VCPU_TIMER_TICKS]
end_of_interrupt:
    push    rax
    mov     eax, LAPIC
    mov     dword ptr [rax + 0xB0], 0
    pop     rax
    iretq

board_interrupt:
    inc     qword ptr [HEADER + HEADER_BOARD_TICKS]
    jmp     end_of_interrupt

spurious_interrupt:
    iretq

# An exception is the end: it is counted for the report and this vCPU stays here.
fault:
    inc     qword ptr [HEADER + HEADER_FAULT]
stop_here:
    cli
    hlt
    jmp     stop_here

.macro gate handler
    .word   (IMAGE_BASE + (\handler - image)) & 0xFFFF
    .word   0x08
    .word   0x8E00
    .word   ((IMAGE_BASE + (\handler - image)) >> 16) & 0xFFFF
    .quad   0
.endm

# At a fixed place, so that the loader knows it: interrupt table, then descriptor table.
.org 0x600
interrupt_table:
    .rept   32
    gate    fault
    .endr
    .rept   TIMER_VECTOR - 32
    gate    spurious_interrupt
    .endr
    gate    timer_interrupt
    gate    board_interrupt
    .rept   256 - BOARD_VECTOR - 1
    gate    spurious_interrupt
    .endr

descriptor_table:
    .quad   0
    .quad   0x00AF9B000000FFFF              # 0x08: 64-bit code
    .quad   0x00CF93000000FFFF              # 0x10: data
