import FoundationEssentials

/// The server's side of one Varlink connection, without I/O.
///
/// The owner of the socket puts in what it reads with ``receive(_:)``, takes calls with ``nextCall()``, answers
/// them, and writes what ``output`` holds. A connection handles one call at a time, in order, as Varlink
/// demands; calls that are pipelined behind it wait in the input, and ``wantsInput`` turns false so that they
/// wait in the peer's socket rather than in memory.
///
/// Envelope rules, syntax, nesting, undeclared and ill-typed parameters, unknown methods and
/// `org.varlink.service` are dealt with here; a call that comes out fits its declaration.
public struct ServerConnection: Sendable {
  /// The service that is offered.
  public let service: Service
  /// Bounds on this connection.
  public let limits: ConnectionLimits
  /// Why the connection must be closed, once it must. Output that is left is not worth writing.
  public private(set) var violation: ProtocolViolation?
  /// The call that is being answered.
  public private(set) var currentCall: ServerCall?

  private var framer: MessageFramer
  private var queue = OutputQueue()
  private var inputEnded = false
  private var lastNumber: UInt64 = 0

  /// A new connection.
  public init(service: Service, limits: ConnectionLimits = ConnectionLimits()) {
    self.service = service
    self.limits = limits
    framer = MessageFramer(messageBytes: limits.messageBytes)
  }

  /// Bytes to write to the socket, in order. Tell ``didSend(_:)`` how many were written.
  public var output: ArraySlice<UInt8> { queue.bytes }

  /// Whether the socket should be watched for writing.
  public var wantsOutput: Bool { queue.count > 0 && violation == nil }

  /// Whether the socket should be read. False while a whole message waits behind the current call or the
  /// peer does not read, so that a peer cannot fill our memory. A hang-up must be watched for all the same.
  public var wantsInput: Bool {
    violation == nil && !inputEnded && !((isBusy || isCongested) && framer.hasMessage)
  }

  /// Whether the socket should be closed: at a violation, or when the peer sent its last byte and all is
  /// answered and written. A call with `more` does not hold a connection open whose peer ended its side:
  /// that is how one unsubscribes.
  ///
  /// A hang-up in both directions, or a failed write, means that nobody reads: close without asking here.
  public var shouldClose: Bool {
    if violation != nil { return true }
    return inputEnded && (currentCall == nil || currentCall?.mode == .more) && queue.count == 0
  }

  /// Takes bytes that were read.
  public mutating func receive(_ bytes: some Sequence<UInt8>) {
    guard violation == nil else { return }
    framer.append(bytes)
  }

  /// Notes that the peer will send no more. A call in progress is still answered; one that was cut off is a
  /// violation.
  public mutating func receiveEnd() {
    inputEnded = true
  }

  /// Forgets output that was written.
  public mutating func didSend(_ count: Int) {
    queue.drop(count)
  }

  /// The next call to answer, or `nil` if one is in progress or none is there.
  ///
  /// Call it until it returns `nil`, after input, after the last reply to a call and after output.
  /// A `oneway` call is over when it is returned: replies to it go nowhere.
  ///
  /// - Throws: Why the connection must be closed; also kept in ``violation``.
  public mutating func nextCall() throws(ProtocolViolation) -> ServerCall? {
    if let violation { throw violation }
    do throws(ProtocolViolation) {
      while !isBusy && !isCongested {
        guard let message = try framer.next() else {
          if inputEnded && framer.bufferedByteCount > 0 { throw .truncated }
          return nil
        }
        if let call = try accept(message) { return call }
      }
      return nil
    } catch {
      violation = error
      throw error
    }
  }

  /// Answers a call with parameters.
  ///
  /// - Parameter continues: Whether more replies to this call follow. Such a reply to a caller that did not
  ///   ask for `more` is not sent, so a method can report progress without looking at the mode.
  /// - Returns: False if nobody waits for this reply: the call was `oneway` or is over, or the connection is.
  @discardableResult
  public mutating func reply(
    to number: ServerCall.Number, _ parameters: some Encodable & Sendable, continues: Bool = false
  ) -> Bool {
    guard let call = currentCall, call.number == number, violation == nil else { return false }
    if continues && call.mode != .more { return true }
    guard let encoded = encode(parameters) else { return false }
    if !continues { currentCall = nil }
    return enqueue(
      Array(#"{"parameters":"#.utf8), encoded, Array((continues ? #","continues":true}"# : "}").utf8))
  }

  /// Answers a call with an error, which ends it.
  ///
  /// - Returns: False if nobody waits for this reply.
  @discardableResult
  public mutating func reply(to number: ServerCall.Number, error: some ReplyableError) -> Bool {
    guard let call = currentCall, call.number == number, violation == nil else { return false }
    guard let encoded = encode(error.errorParameters) else { return false }
    currentCall = nil
    return enqueue(Array(#"{"error":"\#(error.errorName)","parameters":"#.utf8), encoded, Array("}".utf8))
  }

  private var isBusy: Bool { currentCall != nil }
  private var isCongested: Bool { queue.count > limits.queuedOutputBytes / 2 }

  private mutating func encode(_ value: any Encodable & Sendable) -> [UInt8]? {
    do {
      return try JSONParameters(encoding: value).bytes
    } catch {
      violation = .unencodableReply("\(error)")
      return nil
    }
  }

  private mutating func enqueue(_ head: [UInt8], _ body: [UInt8], _ tail: [UInt8]) -> Bool {
    if queue.count > limits.queuedOutputBytes {
      violation = .slowReader(queuedBytes: queue.count)
      return false
    }
    queue.append(message: head, body, tail)
    return true
  }

  /// Checks a message and answers what the service itself can answer.
  private mutating func accept(_ message: [UInt8]) throws(ProtocolViolation) -> ServerCall? {
    let envelope = try Envelope(message, direction: .call, maximumDepth: limits.nestingDepth)
    guard envelope.flags.count <= 1 else { throw .contradictingFlags }
    guard let name = envelope.method else { throw .missingMember("method") }
    guard let (interface, method) = InterfaceName.split(name) else { throw .invalidMethodName(name) }
    lastNumber += 1
    let call = ServerCall(
      number: .init(value: lastNumber), interface: interface, method: method,
      mode: envelope.flags.first.flatMap(ServerCall.Mode.init) ?? .single, parameters: envelope.parameters)
    if call.mode != .oneway { currentCall = call }
    do throws(ServiceError) {
      try check(call)
      guard interface == ServiceInterface.name else { return call }
      if method == "GetInfo" {
        reply(to: call.number, info)
      } else {
        let request = try call.parameters.decode(ServiceInterface.DescriptionRequest.self)
        guard let described = service.interfaces[request.interface] else {
          throw .interfaceNotFound(interface: request.interface)
        }
        reply(
          to: call.number, ServiceInterface.DescriptionReply(description: described.description.text))
      }
    } catch {
      reply(to: call.number, error: error)
    }
    if let violation { throw violation }
    return nil
  }

  private func check(_ call: ServerCall) throws(ServiceError) {
    guard let interface = service.interfaces[call.interface] else {
      throw .interfaceNotFound(interface: call.interface)
    }
    guard let method = interface.description.methods[call.method] else {
      throw .methodNotFound(method: call.fullName)
    }
    switch call.mode {
    case .upgrade: throw .invalidParameter(parameter: "upgrade")
    case .single, .oneway:
      if interface.methodsExpectingMore.contains(call.method) { throw .expectedMore }
    case .more: break
    }
    let checker = TypeChecker(interface: interface.description, allowsUndeclaredFields: false)
    do throws(TypeChecker.Mismatch) {
      var reader: JSONReader
      do throws(JSONFault) {
        reader = try JSONReader(call.parameters.bytes, maximumDepth: limits.nestingDepth)
      } catch { throw .fault(error) }
      try checker.check(&reader, against: method.input, path: "", depth: 0)
    } catch {
      switch error {
      case .field(let path): throw .invalidParameter(parameter: path)
      case .fault: throw .invalidParameter(parameter: "parameters")
      }
    }
  }

  private var info: ServiceInterface.Info {
    ServiceInterface.Info(
      vendor: service.vendor, product: service.product, version: service.version, url: service.url,
      interfaces: service.interfaces.keys.sorted())
  }
}
