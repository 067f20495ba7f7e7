import RegistryInterface
import Synchronization

@testable import RemoteService

/// A registry that says what a test wants, and remembers what it was told.
final class ScriptedRegistry: RegistryQuestions {
  enum Call: Hashable {
    case departure(String)
    case arrival(String)
    case settle(guest: String, migration: String, receipt: String)
    case confirm(guest: String, migration: String)
  }

  /// Where its guest went to.
  let target = Mutex<HostAddress?>(nil)
  private let departureAnswer: DepartureAnswer
  private let arrivalAnswer: ArrivalState
  private let settled: ArrivalState
  private let refusal: RemoteFault?
  private let confirmRefusal: RemoteFault?
  private let list = Mutex<[Call]>([])

  init(
    departure: DepartureAnswer = .unknown, arrival: ArrivalState = .unknown,
    settled: ArrivalState = .running, refusing refusal: RemoteFault? = nil,
    refusingToConfirm confirmRefusal: RemoteFault? = nil
  ) {
    departureAnswer = departure
    arrivalAnswer = arrival
    self.settled = settled
    self.refusal = refusal
    self.confirmRefusal = confirmRefusal
  }

  var calls: [Call] { list.withLock { $0 } }

  private func note(_ call: Call) throws(RemoteFault) {
    list.withLock { $0.append(call) }
    if let refusal { throw refusal }
  }

  func departure(of migration: String) throws(RemoteFault) -> DepartureAnswer {
    try note(.departure(migration))
    return departureAnswer
  }

  func destination(of migration: String) throws(RemoteFault) -> HostAddress? { target.withLock { $0 } }

  func arrival(of migration: String) throws(RemoteFault) -> ArrivalState {
    try note(.arrival(migration))
    return arrivalAnswer
  }

  func settle(guest: String, migration: String, receipt: ReceiptText) throws(RemoteFault) -> ArrivalState {
    try note(.settle(guest: guest, migration: migration, receipt: receipt.hex))
    return settled
  }

  func confirm(guest: String, migration: String) throws(RemoteFault) {
    try note(.confirm(guest: guest, migration: migration))
    if let confirmRefusal { throw confirmRefusal }
  }
}
