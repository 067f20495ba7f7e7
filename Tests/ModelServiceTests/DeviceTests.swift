import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import Testing

/// A peer that plays the model, with answers that a test wrote.
private final class ScriptedModel {
  let path: String
  private let thread: OSThread

  /// What to do for each record that comes: reply with a record, after `before` ran.
  struct Reply: Sendable {
    var before: @Sendable () -> Void = {}
    var record: [UInt8]
  }

  final class Received: @unchecked Sendable {
    // Written by the thread, read after it was joined.
    var kinds: [UInt32] = []
  }

  let received = Received()

  init(_ replies: [Reply]) throws {
    let path = "/tmp/sev-scripted-\(getpid())-\(UInt32.random(in: .min ... .max)).socket"
    self.path = path
    final class Box: Sendable {
      let listener: LocalListener
      init(_ path: String) throws { listener = try LocalListener.bind(path: path, kind: .seqpacket) }
    }
    let box = try Box(path)
    let received = received
    thread = try OSThread(name: "scripted model") {
      do {
        let socket = SeqpacketSocket(adopting: try box.listener.accept())
        var buffer = [UInt8](repeating: 0, count: ModelWire.maximumByteCount)
        for reply in replies {
          guard let record = try socket.receive(into: &buffer) else { return }
          if record.byteCount >= ModelWire.headerByteCount {
            received.kinds.append(buffer.span.uint32(at: ModelWire.kindOffset))
          }
          reply.before()
          try socket.send(reply.record)
        }
      } catch {
        fatalError("the scripted model failed: \(error)")
      }
    }
  }

  func join() {
    thread.join()
    _ = try? Files.remove(path)
  }

  static func finished(error: Int32 = 0, flags: UInt32 = 0) -> [UInt8] {
    var record = RawCaller.record(ModelWire.Kind.finished.rawValue, byteCount: ModelWire.Finished.byteCount)
    var span = record.mutableSpan
    span.store(UInt32(bitPattern: error), at: ModelWire.Finished.error)
    span.store(flags, at: ModelWire.Finished.flags)
    return record
  }
}

extension OverTheSocket {
  @Suite("A session's own side of a request")
  struct DeviceTests {
    @Test("reports results that cannot be written because the memory was unmapped meanwhile")
    func undeliverable() throws {
      let pages = Pages(2)
      pages.store(
        SEVCommandBlock(id: SEVCommandID.localSend.rawValue, data: pages.address + 4096).bytes, at: 0)
      let address = pages.address
      let model = try ScriptedModel([
        .init(
          before: {
            unsafe munmap(UnsafeMutableRawPointer(bitPattern: UInt(address) + 4096), 4096)
          },
          record: ScriptedModel.finished(
            flags: ModelWire.Finished.hasArgument | ModelWire.Finished.hasParameters)),
        .init(record: ScriptedModel.finished(error: EFAULT)),
      ])
      var session = try SEVDevice.model(socketPath: model.path).openSession()
      let pair = try SeqpacketSocket.pair()
      let code = try session.memoryEncryptOperation(on: pair.first.descriptor, argument: pages.address)
      #expect(code == EFAULT)
      model.join()
      #expect(
        model.received.kinds == [
          ModelWire.Kind.memoryEncryptOperation.rawValue, ModelWire.Kind.undeliverable.rawValue,
        ])
      // The block was written all the same.
      #expect(pages.load(24, at: 0) == [UInt8](repeating: 0, count: 24))
    }

    @Test("takes success without a token as a kernel that has no LOCAL_SEND")
    func noToken() throws {
      let model = try ScriptedModel([.init(record: ScriptedModel.finished())])
      var session = try SEVDevice.model(socketPath: model.path).openSession()
      let pair = try SeqpacketSocket.pair()
      let error = failure { _ = try session.localSend(pair.first.descriptor) }
      #expect(error?.reason == .notSupported)
      model.join()
    }

    @Test("says that the outcome is unknown when the answer makes no sense", arguments: [0, 1, 2, 3, 4])
    func nonsense(variant: Int) throws {
      var record = ScriptedModel.finished()
      switch variant {
      case 0: record[0] ^= 1
      case 1: record[ModelWire.lengthOffset] ^= 1
      case 2: record = RawCaller.record(ModelWire.Kind.made.rawValue, byteCount: ModelWire.headerByteCount)
      case 3: record = Array(record.prefix(20))
      default:
        // A question of an unknown sort.
        record = RawCaller.record(ModelWire.Kind.question.rawValue, byteCount: ModelWire.Ask.bytes)
      }
      let model = try ScriptedModel([.init(record: record)])
      var session = try SEVDevice.model(socketPath: model.path).openSession()
      let pair = try SeqpacketSocket.pair()
      let error = failure { try session.initialize(pair.first.descriptor) }
      #expect(error?.isOutcomeUnknown == true)
      #expect(error?.code == EPROTO)
      model.join()
    }

    @Test(
      "finds out with command 23 and NULL, never with 22, what the kernel can do",
      arguments: SEVSupport.allCases)
    func probe(support: SEVSupport) throws {
      let (null, receive): (Int32, Int32) =
        switch support {
        case .unavailable: (ENOTTY, 0)
        case .mainline: (0, EINVAL)
        case .localMigration: (0, ENOTTY)
        }
      let model = try ScriptedModel([
        .init(record: ScriptedModel.finished(error: null)),
        .init(record: ScriptedModel.finished(error: receive)),
      ])
      var session = try SEVDevice.model(socketPath: model.path).openSession()
      let pair = try SeqpacketSocket.pair()
      #expect(try session.probe(pair.first.descriptor) == support)
      // Let the script come to its end where the probe needed no second question.
      if support == .unavailable { _ = failure { try session.initialize(pair.first.descriptor) } }
      model.join()
    }

    @Test("of a kernel without SEV ends in ENOTTY, for a descriptor that is no VM")
    func kernelPlace() throws {
      var session = try SEVDevice.kernel.openSession()
      let pair = try SeqpacketSocket.pair()
      let error = failure { try session.initialize(pair.first.descriptor) }
      #expect(error?.code == ENOTTY)
      let sent = failure { _ = try session.localSend(pair.first.descriptor) }
      #expect(sent?.code == ENOTTY)
      let region = EncryptedRegion(address: 0x1000, size: 0x1000)
      let registered = failure { try session.register(region, on: pair.first.descriptor) }
      #expect(registered?.code == ENOTTY)
      let made = failure { _ = try session.makeMachine() }
      #expect(made?.code == ENOTTY)
      #expect(try session.probe(pair.first.descriptor) == .unavailable)
    }

    @Test("explains in an error what was attempted and why it failed, and never a token")
    func messages() {
      let used = SEVError(.command(.localReceive), code: EFAULT)
      #expect(
        used.description
          == "SEV command LOCAL_RECEIVE failed: the token is unknown, was used, or its source is gone (EFAULT 14)"
      )
      let refused = SEVError(.command(.launchStart), code: EIO, firmwareStatus: 12)
      #expect(
        refused.description
          == "SEV command LAUNCH_START was refused by the firmware: ASID_OWNED (status 12)")
      let unknown = SEVError(.command(.localSend), code: ECONNRESET, isOutcomeUnknown: true)
      #expect(
        unknown.description
          == "SEV command LOCAL_SEND may or may not have been done: the model went away (errno \(ECONNRESET))"
      )
      let path = SEVError(.connect(path: "/run/x"), code: ENOENT)
      #expect(
        path.description
          == "connecting to the SEV model at /run/x failed: No such file or directory (errno 2)")
    }
  }
}
