//! Transfers in both directions.

use half::bf16;
use twinflow_array::{DType, HostArray, TensorType};
use twinflow_pjrt::{Buffer, PendingHostArray};

use crate::{array, client};

#[test]
fn every_element_type_and_shape_survives_the_round_trip() {
    let client = client(1);
    for dtype in DType::ALL {
        for dims in [vec![], vec![0], vec![3], vec![2, 3, 4], vec![2, 0, 4], vec![1, 70_000]] {
            let ty = TensorType::new(dtype, dims);
            let values: Vec<f64> = (0..ty.shape.elements()).map(|i| (i % 2) as f64).collect();
            let original = HostArray::from_f64(ty.clone(), &values).unwrap();
            let copied = Buffer::from_host(&client.devices()[0], &original).unwrap();
            let borrowed = Buffer::from_host_zero_copy(&client.devices()[0], original.clone()).unwrap();
            assert_eq!(copied.ty(), &ty);
            assert_eq!(copied.to_host().unwrap(), original);
            assert_eq!(borrowed.to_host().unwrap(), original);
            assert!(copied.with_bytes(|bytes| bytes == original.bytes()).unwrap());
        }
    }
}

#[test]
fn bf16_keeps_its_bits() {
    let client = client(1);
    let original = array(&[bf16::MIN_POSITIVE, bf16::NAN, bf16::NEG_INFINITY, bf16::from_f32(1.0 / 3.0)]);
    let buffer = Buffer::from_host(&client.devices()[0], &original).unwrap();
    assert_eq!(buffer.ty().dtype, DType::BF16);
    assert_eq!(buffer.to_host().unwrap(), original);
}

#[test]
fn a_host_array_written_after_the_upload_leaves_the_buffer_as_it_was() {
    let client = client(1);
    for upload in
        [Buffer::from_host, |device: &_, array: &HostArray| Buffer::from_host_zero_copy(device, array.clone())]
    {
        let mut host = array(&vec![1.0f32; 1 << 20]);
        let original = host.clone();
        let buffer = upload(&client.devices()[0], &host).unwrap();
        host.as_mut_slice::<f32>().unwrap().fill(2.0);
        assert_eq!(buffer.to_host().unwrap(), original);
    }
}

#[test]
fn zero_copy_shares_memory_and_gives_it_back_with_the_buffer() {
    let client = client(1);
    let mut host = array(&[1.0f32, 2.0, 3.0]);
    let address = host.bytes().as_ptr();

    let buffer = Buffer::from_host_zero_copy(&client.devices()[0], host.clone()).unwrap();
    assert_eq!(buffer.with_bytes(<[u8]>::as_ptr).unwrap(), address);
    assert_ne!(host.clone().bytes_mut().as_ptr(), address, "shared memory is copied before a write");
    drop(buffer);
    // The only owner writes in place: so the plugin holds the memory no more.
    assert_eq!(host.bytes_mut().as_ptr(), address);
}

#[test]
fn copies_to_the_host_go_on_without_the_buffer_or_a_waiter() {
    let client = client(1);
    let original = array(&(0..1 << 20).collect::<Vec<i32>>());
    let begin = || Buffer::from_host(&client.devices()[0], &original).unwrap().copy_to_host_async().unwrap();
    let pending: Vec<PendingHostArray> = (0..8).map(|_| begin()).collect();
    drop(begin());
    for copy in pending {
        assert_eq!(copy.wait().unwrap(), original);
    }
}

#[test]
fn copies_between_devices() {
    let client = client(2);
    let original = array(&[1.0f64, 2.0]);
    let first = Buffer::from_host(&client.devices()[0], &original).unwrap();
    let second = first.copy_to_device(&client.devices()[1]).unwrap();
    assert_eq!(second.to_host().unwrap(), original);
    let error = first.copy_to_device(&client.devices()[0]).map(|copy| copy.to_host().unwrap());
    // Plugins may refuse a copy onto the same device; it must not be a wrong one.
    assert!(error.is_err() || error.unwrap() == original);
}

#[test]
fn events_tell_that_the_work_has_ended() {
    let client = client(1);
    let buffer = Buffer::from_host(&client.devices()[0], &array(&[1u8; 4096])).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    buffer.ready().unwrap().on_ready(move |result| sender.send(result.is_ok()).unwrap()).unwrap();
    assert!(receiver.recv().unwrap());
    buffer.wait().unwrap();
    assert!(buffer.ready().unwrap().is_ready().unwrap());
    assert!(buffer.device_bytes().unwrap() >= 4096);
}

#[test]
fn devices_describe_themselves() {
    let client = client(3);
    assert_eq!(client.devices().len(), 3);
    assert_eq!(client.global_device_count().unwrap(), 3);
    assert_eq!(client.process_index().unwrap(), 0);
    assert_eq!(client.platform_name().unwrap(), "cpu");
    assert!(!client.platform_version().unwrap().is_empty());
    for (ordinal, device) in client.devices().iter().enumerate() {
        assert_eq!((device.id(), device.local_ordinal(), device.process_index()), (ordinal as i32, ordinal as i32, 0));
        assert_eq!(device.kind(), "cpu");
        assert!(!device.debug_string().is_empty());
        assert_eq!(device.memory(), None, "the CPU plugin counts no memory");
    }
    assert!(client.plugin().attributes().unwrap().contains_key("xla_version"));
    assert!(client.plugin().api_version() >= (0, 81));
}
