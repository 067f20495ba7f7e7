/// The agreement between the reference guest and its VMM: where things lie in guest RAM.
///
/// Both machines keep it: the guest under KVM (`Guest/guest.S`) and the software vCPUs. All fields
/// are 64-bit little-endian words. Offsets are offsets in RAM; below ``lowBytes`` they are guest
/// physical addresses too. Everything that the verdict on a handoff needs lies here or in device
/// state, so that it is checked across processes.
public enum GuestABI {
  /// Version of this layout, in ``Header/version``.
  public static let version: UInt64 = 1
  /// "BATONGST" in ASCII, in ``Header/magic``.
  public static let magic: UInt64 = 0x5453_474E_4F54_4142

  /// The header page: parameters from the loader, then what the boot vCPU reports.
  public static let headerOffset = 0x1000
  /// One page for each vCPU, in order.
  public static let vcpuPagesOffset = 0x2000
  /// Size of a page in bytes.
  public static let pageBytes = 0x1000
  /// As many vCPUs as have a page and a stack.
  public static let maximumVCPUs = 32
  /// The page that KVM keeps the guest's clock in (`MSR_KVM_SYSTEM_TIME_NEW`).
  public static let kvmclockOffset = 0x3E000
  /// Where ``GuestImage`` is loaded and entered.
  public static let imageOffset = 0x40000
  /// The interrupt descriptor table in the image: 256 gates of 16 bytes.
  public static let interruptTableOffset = 0x40600
  /// The global descriptor table in the image: null, code (0x08), data (0x10).
  public static let descriptorTableOffset = 0x41600
  /// One stack of ``pageBytes`` for each vCPU.
  public static let stacksOffset = 0x60000
  /// Page tables that the loader writes: one level 4, one level 3, then level 2 tables.
  public static let pageTablesOffset = 0x80000
  /// The first page that the guest writes stamps into; all RAM from here on is under test.
  public static let firstTestPageOffset = 0x100000
  /// RAM from this offset on lies above ``holeBytes`` of device addresses.
  public static let lowBytes = 0xC000_0000
  /// The hole for devices between 3 and 4 GiB of guest physical addresses.
  public static let holeBytes = 0x4000_0000
  /// Multiplier of a page's checksum.
  public static let checksumMultiplier: UInt64 = 0x9E37_79B9_7F4A_7C15

  /// The port whose bytes are console output.
  public static let consolePort: UInt16 = 0x3F8
  /// The port that takes a 32-bit sequence number to be written to the disk.
  public static let diskPort: UInt16 = 0x510

  /// Words of the header page, as offsets in it.
  public enum Header {
    public static let magic = 0x00
    public static let version = 0x08
    /// Size of guest RAM in bytes.
    public static let ramBytes = 0x10
    public static let vcpuCount = 0x18
    /// Ticks of the guest's stamps in a millisecond: TSC under KVM, nanoseconds in software.
    public static let tickKilohertz = 0x20
    /// Offset of the first test page.
    public static let firstPage = 0x28
    /// Bytes from one test page to the next.
    public static let pageStride = 0x30
    /// How many test pages there are; vCPU i has the pages i, i + count, i + 2 count…
    public static let pageCount = 0x38
    /// ``GuestABI/lowBytes`` and ``GuestABI/holeBytes``.
    public static let lowBytes = 0x40
    public static let holeBytes = 0x48
    /// Ticks between two console lines, and between two disk writes (0: no disk).
    public static let consoleInterval = 0x50
    public static let diskInterval = 0x58
    /// Nanoseconds between two timer interrupts of each vCPU.
    public static let timerPeriod = 0x60
    /// Under KVM: not 0 when a vCPU halts until the next interrupt after each iteration.
    public static let pacing = 0x68
    /// 1 when the boot vCPU compares a kvmclock with its ticks.
    public static let hasKVMClock = 0x70

    /// Number of the next console line; the first line has number 0.
    public static let consoleSequence = 0x100
    /// Number of the next disk write; the first has number 1.
    public static let diskSequence = 0x108
    public static let consoleStamp = 0x110
    public static let diskStamp = 0x118
    /// Interrupts of the board's timer (PIT through the IOAPIC; KVM only).
    public static let boardTicks = 0x120
    /// Exceptions that the guest ran into; always 0 in a healthy guest.
    public static let fault = 0x128
    public static let clockSamples = 0x140
    /// First clock sample: kvmclock in nanoseconds, and ticks.
    public static let clockBase = 0x148
    public static let clockTickBase = 0x150
    public static let clockLast = 0x158
    /// Nanoseconds by which the clock is behind the ticks since the first sample (signed), and the
    /// largest distance ever seen in either direction.
    public static let clockLag = 0x160
    public static let clockLargestLag = 0x168
    /// How often the clock went backwards.
    public static let clockBackwards = 0x170
    /// The text of the next console line (KVM), ``consoleLineBytes`` long.
    public static let consoleLine = 0x200
  }

  /// Words of a vCPU's page, as offsets in it.
  public enum VCPU {
    /// 1 once the vCPU has executed its first instruction.
    public static let started = 0x00
    /// Iterations; never goes back.
    public static let counter = 0x08
    /// Index of the next test page, and the pass over all pages (from 1).
    public static let cursor = 0x10
    public static let generation = 0x18
    public static let pagesWritten = 0x20
    public static let pagesChecked = 0x28
    /// Pages that did not hold exactly what the pass before wrote, and the first one's RAM offset.
    public static let pageErrors = 0x30
    public static let firstBadPage = 0x38
    /// Ticks at the last iteration.
    public static let lastStamp = 0x40
    /// Largest distance between two iterations in ticks, with the stamps around it.
    public static let largestGap = 0x48
    public static let gapBegin = 0x50
    public static let gapEnd = 0x58
    public static let timerTicks = 0x60
    /// How often registers and memory did not agree (an old copy of one of them was restored).
    public static let mismatches = 0x68
    /// Software: stamp of the first iteration since the vCPU was last started or restored.
    public static let resumeStamp = 0x70
    /// How often a stamp was smaller than the one before.
    public static let backwards = 0x78
    public static let index = 0x80
  }

  /// Words of a test page. Under KVM only these four are written; software vCPUs fill the page.
  public enum TestPage {
    public static let index = 0
    public static let generation = 8
    public static let middle = 2048
    public static let checksum = 4088
  }

  /// "guest ", twelve digits and a line feed.
  public static let consoleLineBytes = 19
  /// Offset of the last digit from the begin of the header page.
  public static let consoleLastDigit = Header.consoleLine + 17

  /// One console line.
  public static func consoleLine(_ sequence: UInt64) -> [UInt8] {
    var line = [UInt8]("guest 000000000000\n".utf8)
    var rest = sequence
    var position = 17
    while rest > 0 && position >= 6 {
      line[position] = 0x30 + UInt8(rest % 10)
      rest /= 10
      position -= 1
    }
    return line
  }

  /// The checksum of test page `index` after pass `generation` wrote it.
  public static func checksum(index: UInt64, generation: UInt64) -> UInt64 {
    (index ^ (generation << 32)) &* checksumMultiplier
  }

  /// Guest physical address of a RAM offset.
  public static func guestPhysicalAddress(ofRAMOffset offset: UInt64) -> UInt64 {
    offset < UInt64(lowBytes) ? offset : offset + UInt64(holeBytes)
  }
}
