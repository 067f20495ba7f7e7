import Synchronization

/// How many local connections there are, by user: so that none of the users shuts the others out.
final class LocalSeats: Sendable {
  /// A connection's place. It is free again when nobody holds it any more.
  final class Seat: Sendable {
    private let seats: LocalSeats
    private let uid: UInt32

    fileprivate init(_ seats: LocalSeats, _ uid: UInt32) {
      self.seats = seats
      self.uid = uid
    }

    deinit { seats.free(uid) }
  }

  private let limit: Int
  private let limitPerUser: Int
  private let taken = Mutex<[UInt32: Int]>([:])

  init(limit: Int, limitPerUser: Int) {
    self.limit = limit
    self.limitPerUser = limitPerUser
  }

  /// Takes a place for a user.
  func take(_ uid: UInt32) throws(RemoteFault) -> Seat {
    try taken.withLock { taken throws(RemoteFault) in
      guard taken.values.reduce(0, +) < limit else { throw .tooManyConnections(limit: limit) }
      guard taken[uid, default: 0] < limitPerUser else {
        throw .tooManyConnectionsOfUser(uid: uid, limit: limitPerUser)
      }
      taken[uid, default: 0] += 1
    }
    return Seat(self, uid)
  }

  private func free(_ uid: UInt32) {
    taken.withLock { taken in
      let rest = taken[uid, default: 1] - 1
      taken[uid] = rest == 0 ? nil : rest
    }
  }
}
