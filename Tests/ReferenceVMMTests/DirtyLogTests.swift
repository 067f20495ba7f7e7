import GuestImage
import LinuxOS
import ReferenceVMM
import RemoteMigration
import Testing

@Suite("The log of written pages", .serialized)
struct DirtyLogTests {
  private let configuration = MachineConfiguration(
    ramBytes: 16 << 20, vcpuCount: 2, consoleIntervalNanoseconds: 1_000_000)

  private func copy(_ memory: SharedMapping) -> [[UInt8]] {
    stride(from: 0, to: memory.byteCount, by: GuestABI.pageBytes).map {
      memory.read(at: $0, count: GuestABI.pageBytes)
    }
  }

  @Test("names every page that a software machine has written, whenever it is taken")
  func software() throws {
    let memory = try guestRAM(mebibytes: 16)
    let machine = try SoftwareMachine.loadingGuest(
      into: memory, configuration, devices: MachineDevices(console: Console()))
    try machine.start()
    _ = try #require(machine.waitForFirstInstruction(timeoutNanoseconds: 10_000_000_000))
    try machine.startDirtyLog()
    // As a migration does it: what is taken is copied after it was taken.
    var copied = copy(memory)
    var all = PageBitmap(pageCount: copied.count)
    for _ in 0..<20 {
      var pages = PageBitmap(pageCount: copied.count)
      try machine.takeDirtyPages(into: &pages)
      all.formUnion(pages)
      var next = pages.first(from: 0)
      while let page = next {
        copied[page] = memory.read(at: page * GuestABI.pageBytes, count: GuestABI.pageBytes)
        next = pages.first(from: page + 1)
      }
    }
    machine.stop()
    var last = PageBitmap(pageCount: copied.count)
    try machine.takeDirtyPages(into: &last)
    all.formUnion(last)
    let now = copy(memory)
    for page in now.indices where !last.contains(page) {
      let isSame = now[page] == copied[page]
      #expect(isSame, "page \(page) was written and nobody said so")
    }
    #expect(all.count > 2)
    #expect(all.contains(GuestABI.headerOffset / GuestABI.pageBytes))
    #expect(all.contains(GuestABI.vcpuPagesOffset / GuestABI.pageBytes))
    #expect(try machine.report().problems == [])
  }

  @Test("is empty after it was taken from a machine that stands still, and when it is off")
  func empty() throws {
    let memory = try guestRAM(mebibytes: 16)
    let machine = try SoftwareMachine.loadingGuest(
      into: memory, configuration, devices: MachineDevices(console: Console()))
    try machine.start()
    try machine.startDirtyLog()
    _ = try #require(machine.waitForFirstInstruction(timeoutNanoseconds: 10_000_000_000))
    machine.stop()
    var pages = PageBitmap(pageCount: memory.byteCount / GuestABI.pageBytes)
    try machine.takeDirtyPages(into: &pages)
    #expect(!pages.isEmpty)
    pages.removeAll()
    try machine.takeDirtyPages(into: &pages)
    #expect(pages.isEmpty)
    machine.stopDirtyLog()
    try machine.resume()
    _ = try #require(machine.waitForFirstInstruction(timeoutNanoseconds: 10_000_000_000))
    machine.stop()
    try machine.takeDirtyPages(into: &pages)
    #expect(pages.isEmpty)
  }
}
