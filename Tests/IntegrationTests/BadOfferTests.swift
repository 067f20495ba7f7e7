import BatonWire
import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite {
  /// A source that offers something wrong. It keeps its guest, and the registry lives.
  @Suite("A bad offer")
  struct BadOfferTests {
    enum Fault: String, CaseIterable, Sendable {
      case pipe, noSeals, shortMemfd, foreignMemfd, overlap, overflow, beyondFile, noRegion
    }

    private static let bytes: UInt64 = 1 << 20

    @Test("is refused, and the source keeps its guest", arguments: Fault.allCases)
    func offer(_ fault: Fault) throws {
      try Workbench.use { bench in
        try bench.startRegistry(["--quiet", "--release-ms", "600000"])
        let registry = try #require(bench.registry)
        let source = try RecordPeer(path: bench.handoffSocket)
        try source.send(.hello(RecordPeer.hello("vm1", .fresh)))
        let epoch = try epochOfVerdict(source)
        try source.send(.running(epoch: epoch, firstInstruction: 1))
        let successor = try bench.startVMM(Scene.plan())
        let handoff = try handoffOfPrepare(source)
        try sendOffer(with: fault, handoff, source)
        try bench.waitForGuest("vm1", "has its refusal") { _ in
          !successor.process.isAlive || source.isRefused()
        }
        #expect(registry.isAlive)
        let last = try bench.client().describe("vm1")
        #expect(last.handoffs.last?.outcome != .committed)
        #expect(last.guest.owner?.processId == ThisProcess.pid)
      }
    }

    private func epochOfVerdict(_ source: RecordPeer) throws -> UInt64 {
      while true {
        switch try source.next() {
        case .message(.run(let epoch)): return epoch
        case .message: continue
        case .closed, .silence: throw HarnessFailure("no verdict came")
        }
      }
    }

    private func handoffOfPrepare(_ source: RecordPeer) throws -> UInt64 {
      while true {
        switch try source.next() {
        case .message(.prepare(let handoff)): return handoff
        case .message: continue
        case .closed, .silence: throw HarnessFailure("no prepare came")
        }
      }
    }

    private func sendOffer(with fault: Fault, _ handoff: UInt64, _ source: RecordPeer) throws {
      let ram = try Memfd.create(name: "ram", byteCount: fault == .shortMemfd ? 4096 : Self.bytes)
      if fault != .noSeals { try ram.addSeals(.ram) }
      let other = try Memfd.create(name: "other", byteCount: Self.bytes)
      let state = try Memfd.create(name: "state", byteCount: 0)
      let pipe = try Pipe()
      let named = fault == .foreignMemfd ? try other.identity() : try ram.identity()
      func region(_ address: UInt64, _ count: UInt64, _ offset: UInt64 = 0) -> RAMRegion {
        RAMRegion(guestPhysicalAddress: address, byteCount: count, file: 0, fileOffset: offset)
      }
      let regions: [RAMRegion] =
        switch fault {
        case .overlap: [region(0, 8192), region(4096, 8192, 8192)]
        case .overflow: [region(UInt64.max - 4095, 8192)]
        case .beyondFile: [region(0, Self.bytes * 2)]
        case .noRegion: []
        case .pipe, .noSeals, .shortMemfd, .foreignMemfd: [region(0, Self.bytes)]
        }
      let manifest = Manifest(
        way: .none, vcpuCount: 2,
        files: [RAMFile(device: named.device, inode: named.inode, byteCount: Self.bytes)], regions: regions,
        hasVM: false, names: [], format: StateFormat(name: "baton-vmm", version: 1, features: 0))
      let first = fault == .pipe ? pipe.readEnd.number : ram.number
      try source.send(.offer(handoff: handoff, manifest), descriptors: [first, state.number])
    }
  }
}

extension RecordPeer {
  /// Whether the registry has said by now that it does not want what this peer sent.
  fileprivate func isRefused() -> Bool {
    switch try? next(seconds: 0.05) {
    case .message(.refusal), .message(.takeBack), .message(.release), .closed: true
    case .message, .silence, nil: false
    }
  }
}
