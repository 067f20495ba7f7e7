import BatonWire
import LinuxOS
import Testing

@testable import RegistryService

@Suite("Descriptors of an offer")
struct DescriptorCheckTests {
  /// What the check of one RAM file says, or nil when all is well.
  private func fault(_ manifest: Manifest, _ descriptor: consuming OwnedDescriptor) -> Refusal? {
    var list = DescriptorList()
    list.append(descriptor)
    do throws(DescriptorFault) {
      try DescriptorCheck.checkRAM(manifest, list)
      return nil
    } catch { return error.refusal }
  }

  @Test("are taken when they are what the manifest says")
  func fine() throws {
    let ram = try TestRAM()
    #expect(fault(ram.manifest, try ram.memfd.duplicate()) == nil)
  }

  @Test("are refused when RAM is a pipe")
  func pipe() throws {
    let pipe = try Pipe()
    #expect(fault(try TestRAM().manifest, try pipe.readEnd.duplicate()) == .notAMemfd)
  }

  @Test("are refused when RAM is an ordinary file")
  func file() throws {
    #expect(fault(try TestRAM().manifest, try Files.open("/proc/self/exe", .readOnly)) == .notAMemfd)
  }

  @Test(
    "are refused when RAM may still shrink", arguments: [Seals(), .shrink, .grow, .seal, [.shrink, .grow]])
  func seals(_ seals: Seals) throws {
    let ram = try TestRAM(seals: seals)
    #expect(fault(ram.manifest, try ram.memfd.duplicate()) == .sealsMissing)
  }

  @Test("are refused when RAM can never be written")
  func writeSealed() throws {
    let ram = try TestRAM(seals: .state)
    #expect(fault(ram.manifest, try ram.memfd.duplicate()) == .badManifest)
  }

  @Test("are refused when RAM is shorter or longer than the manifest says")
  func size() throws {
    let ram = try TestRAM()
    var manifest = ram.manifest
    manifest.files[0].byteCount += 4096
    #expect(fault(manifest, try ram.memfd.duplicate()) == .memoryTooShort)
    manifest.files[0].byteCount -= 8192
    #expect(fault(manifest, try ram.memfd.duplicate()) == .badManifest)
  }

  @Test("are refused when RAM is another memfd")
  func foreign() throws {
    #expect(fault(try TestRAM().manifest, try TestRAM().memfd.duplicate()) == .foreignMemory)
  }

  @Test("are refused when staged state may still change, or has another size")
  func state() throws {
    func fault(_ seals: Seals, _ byteCount: UInt64) throws -> Refusal? {
      let memfd = try Memfd.create(name: "state", byteCount: byteCount)
      if !seals.isEmpty { try memfd.addSeals(seals) }
      var list = DescriptorList()
      list.append(memfd)
      let stage = Stage(
        envelopeByteCount: 100, format: ScriptedVMM.format, lastInstruction: 1, freezeStarted: 1,
        contextSent: 1)
      do throws(DescriptorFault) {
        try DescriptorCheck.checkState(stage, list, at: 0)
        return nil
      } catch { return error.refusal }
    }
    #expect(try fault(.state, 100) == nil)
    #expect(try fault(.ram, 100) == .sealsMissing)
    #expect(try fault([], 100) == .sealsMissing)
    #expect(try fault(.state, 99) == .memoryTooShort)
  }
}
