import BatonWire
import LinuxOS
import RemoteMigration
import Testing

@testable import ReferenceVMM

@Suite("Memory for a guest that is to come")
struct IncomingMemoryTests {
  private func options(mebibytes: Int) -> VMMOptions {
    VMMOptions(guest: "vm1", configuration: MachineConfiguration(ramBytes: mebibytes << 20, vcpuCount: 1))
  }

  /// What the file has pages for, in bytes.
  private func allocated(_ ram: borrowing OwnedDescriptor) throws -> UInt64 {
    var (sum, at): (UInt64, UInt64) = (0, 0)
    while let data = try ram.nextData(from: at) {
      sum += data.upperBound - data.lowerBound
      at = data.upperBound
    }
    return sum
  }

  @Test("has every page before the first one comes, and all of them are zero")
  func present() throws {
    // More than is made in one go, and not a multiple of it.
    let memory = try IncomingMemory(options(mebibytes: 136))
    try memory.finish()
    #expect(try allocated(memory.ram) == 136 << 20)
    #expect(memory.mapping.isZero(at: 0, count: memory.mapping.byteCount))
  }

  @Test("is refused as noRoom where there is not so much, before anything is taken from others")
  func noRoom() throws {
    let available = try AvailableMemory.byteCount()
    let mebibytes = Int(available >> 20) + 1024
    let error = #expect(throws: MigrationFailure.self) {
      _ = try IncomingMemory(options(mebibytes: mebibytes))
    }
    #expect(error?.refusal == .noRoom)
    #expect(error?.text.contains("\(mebibytes) MiB") == true)
  }
}
