import GuestImage
import LinuxOS
import Testing

@Suite("The guest's image")
struct GuestImageTests {
  /// The repository, four levels above this file.
  private var root: String {
    var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    parts.removeLast(3)
    return parts.joined(separator: "/")
  }

  @Test("is exactly what its source gives")
  func bytesMatchSource() throws {
    let check = try DetachedProcess(arguments: ["\(root)/Scripts/build-guest", "--check"])
    #expect(try Poller.waitReadable(check.pidfd.descriptor.number, timeoutNanoseconds: 60_000_000_000))
    #expect(try check.reap() == .exited(status: 0))
  }

  @Test("uses the same numbers as the page layout in Swift")
  func constantsAgree() throws {
    let source = try Files.open("\(root)/Sources/GuestImage/Guest/guest.S", .readOnly)
    let text = String(decoding: try source.read(count: 1 << 20, at: 0), as: UTF8.self)
    var assembly: [String: Int] = [:]
    for line in text.split(separator: "\n") where line.hasPrefix(".set ") {
      let words = line.dropFirst(5).split(whereSeparator: { $0 == "," || $0 == " " })
      let number = words[1]
      assembly[String(words[0])] =
        number.hasPrefix("0x") ? Int(number.dropFirst(2), radix: 16) : Int(number)
    }
    typealias Header = GuestABI.Header
    typealias VCPU = GuestABI.VCPU
    let swift: [String: Int] = [
      "IMAGE_BASE": GuestABI.imageOffset, "HEADER": GuestABI.headerOffset,
      "VCPU_PAGES": GuestABI.vcpuPagesOffset, "KVMCLOCK_PAGE": GuestABI.kvmclockOffset,
      "HEADER_TICK_KILOHERTZ": Header.tickKilohertz, "HEADER_FIRST_PAGE": Header.firstPage,
      "HEADER_PAGE_STRIDE": Header.pageStride, "HEADER_PAGE_COUNT": Header.pageCount,
      "HEADER_LOW_BYTES": Header.lowBytes, "HEADER_HOLE_BYTES": Header.holeBytes,
      "HEADER_VCPU_COUNT": Header.vcpuCount, "HEADER_CONSOLE_INTERVAL": Header.consoleInterval,
      "HEADER_DISK_INTERVAL": Header.diskInterval, "HEADER_TIMER_PERIOD": Header.timerPeriod,
      "HEADER_PACING": Header.pacing, "HEADER_HAS_KVMCLOCK": Header.hasKVMClock,
      "HEADER_CONSOLE_SEQUENCE": Header.consoleSequence, "HEADER_DISK_SEQUENCE": Header.diskSequence,
      "HEADER_CONSOLE_STAMP": Header.consoleStamp, "HEADER_DISK_STAMP": Header.diskStamp,
      "HEADER_BOARD_TICKS": Header.boardTicks, "HEADER_FAULT": Header.fault,
      "HEADER_CLOCK_SAMPLES": Header.clockSamples, "HEADER_CLOCK_BASE": Header.clockBase,
      "HEADER_CLOCK_TICK_BASE": Header.clockTickBase, "HEADER_CLOCK_LAST": Header.clockLast,
      "HEADER_CLOCK_LAG": Header.clockLag, "HEADER_CLOCK_LARGEST_LAG": Header.clockLargestLag,
      "HEADER_CLOCK_BACKWARDS": Header.clockBackwards, "HEADER_CONSOLE_LINE": Header.consoleLine,
      "CONSOLE_LINE_BYTES": GuestABI.consoleLineBytes, "CONSOLE_LAST_DIGIT": GuestABI.consoleLastDigit,
      "VCPU_STARTED": VCPU.started, "VCPU_COUNTER": VCPU.counter, "VCPU_CURSOR": VCPU.cursor,
      "VCPU_GENERATION": VCPU.generation, "VCPU_PAGES_WRITTEN": VCPU.pagesWritten,
      "VCPU_PAGES_CHECKED": VCPU.pagesChecked, "VCPU_PAGE_ERRORS": VCPU.pageErrors,
      "VCPU_FIRST_BAD_PAGE": VCPU.firstBadPage, "VCPU_LAST_STAMP": VCPU.lastStamp,
      "VCPU_LARGEST_GAP": VCPU.largestGap, "VCPU_GAP_BEGIN": VCPU.gapBegin,
      "VCPU_GAP_END": VCPU.gapEnd, "VCPU_TIMER_TICKS": VCPU.timerTicks,
      "VCPU_MISMATCHES": VCPU.mismatches, "VCPU_BACKWARDS": VCPU.backwards, "VCPU_INDEX": VCPU.index,
      "PAGE_INDEX": GuestABI.TestPage.index, "PAGE_GENERATION": GuestABI.TestPage.generation,
      "PAGE_MIDDLE": GuestABI.TestPage.middle, "PAGE_CHECKSUM": GuestABI.TestPage.checksum,
      "CONSOLE_PORT": Int(GuestABI.consolePort), "DISK_PORT": Int(GuestABI.diskPort),
    ]
    let hardware: Set<String> = [
      "LAPIC", "IOAPIC", "TIMER_VECTOR", "BOARD_VECTOR", "BOARD_TIMER_DIVISOR",
    ]
    #expect(assembly.filter { !hardware.contains($0.key) } == swift)
  }

  @Test("numbers its console lines with twelve digits")
  func consoleLines() {
    #expect(String(decoding: GuestABI.consoleLine(0), as: UTF8.self) == "guest 000000000000\n")
    #expect(String(decoding: GuestABI.consoleLine(90_817), as: UTF8.self) == "guest 000000090817\n")
    #expect(GuestABI.consoleLine(1).count == GuestABI.consoleLineBytes)
  }
}
